//! The connections that are open, and who gets the next place.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use saas_core::Network;
use saas_kit::settings::ProxyNetworks;
use tokio::{sync::Notify, time::Instant};

use super::{
    activity::{Activity, Phase, Wish},
    limits::Limits,
    notices::{Notice, Notices},
};

/// How often a full server looks for connections that have become idle.
const LOOK: Duration = Duration::from_millis(50);
/// A full server takes the place of a request that takes longer than this to begin; who means it sends its head at once.
const SLOW_HEAD: Duration = Duration::from_secs(1);
/// The part of the places that is made free at once, so that a flood does not cost a search for each of its connections.
const ROOM: usize = 64;

/// The connections that are open.
#[derive(Debug)]
pub(super) struct Connections {
    most: usize,
    most_per_address: Option<usize>,
    proxies: Option<ProxyNetworks>,
    open: Mutex<Open>,
    left: Notify,
}

#[derive(Debug, Default)]
struct Open {
    next: u64,
    connections: HashMap<u64, Arc<Activity>>,
    networks: HashMap<Network, usize>,
}

impl Connections {
    pub(super) fn new(limits: &Limits) -> Arc<Self> {
        Arc::new(Self {
            most: limits.connections,
            most_per_address: limits.per_address,
            proxies: limits.proxies.clone(),
            open: Mutex::default(),
            left: Notify::new(),
        })
    }

    fn lock(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until one more may be opened. Where there are none left, those are closed that wait for a request, the longest first; where
    /// every one is in work, new clients wait before the door, in the order in which they came.
    pub(super) async fn room(&self, notices: &Notices) {
        loop {
            let left = self.left.notified();
            tokio::pin!(left);
            left.as_mut().enable();
            if self.lock().connections.len() < self.most {
                return;
            }
            notices.say(Notice::Full);
            self.make_room();
            // What becomes idle meanwhile does not say so.
            let _ = tokio::time::timeout(LOOK, left).await;
        }
    }

    fn make_room(&self) {
        let now = Instant::now();
        let open = self.lock();
        let mut waiting: Vec<_> = open
            .connections
            .values()
            .filter(|activity| !activity.is_asked())
            .filter_map(|activity| match activity.phase() {
                Phase::Idle(since) => Some((false, since.unwrap_or(now), activity)),
                Phase::Reading(Some(since)) if since + SLOW_HEAD <= now => Some((true, since, activity)),
                Phase::Reading(_) | Phase::Working(_) => None,
            })
            .collect();
        waiting.sort_unstable_by_key(|(reading, since, _)| (*reading, *since));
        for (_, _, activity) in waiting.into_iter().take((self.most / ROOM).max(1)) {
            activity.ask(Wish::MakeRoom);
        }
    }

    /// A place for a connection from this address, unless its network has as many as it may. A proxy that is trusted has as many as
    /// there are: it stands for all its clients.
    pub(super) fn enter(self: &Arc<Self>, address: IpAddr) -> Option<Place> {
        let network = Network::of(address);
        let trusted = self.proxies.as_ref().is_some_and(|proxies| proxies.contain(address));
        let mut open = self.lock();
        let of_network = open.networks.entry(network).or_default();
        if !trusted && self.most_per_address.is_some_and(|most| *of_network >= most) {
            return None;
        }
        *of_network += 1;
        let number = open.next;
        open.next += 1;
        let activity = Activity::new();
        open.connections.insert(number, Arc::clone(&activity));
        drop(open);
        Some(Place { connections: Arc::clone(self), number, network, activity })
    }

    /// Asks something of all.
    pub(super) fn ask(&self, wish: Wish) {
        for activity in self.lock().connections.values() {
            activity.ask(wish);
        }
    }

    /// Waits until none is open.
    pub(super) async fn closed(&self) {
        loop {
            let left = self.left.notified();
            tokio::pin!(left);
            left.as_mut().enable();
            if self.lock().connections.is_empty() {
                return;
            }
            left.await;
        }
    }

    /// How many are open.
    pub(super) fn len(&self) -> usize {
        self.lock().connections.len()
    }
}

/// A connection's place; dropping it gives it back.
#[derive(Debug)]
pub(super) struct Place {
    connections: Arc<Connections>,
    number: u64,
    network: Network,
    pub(super) activity: Arc<Activity>,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut open = self.connections.lock();
        open.connections.remove(&self.number);
        if let Some(of_network) = open.networks.get_mut(&self.network) {
            *of_network -= 1;
            if *of_network == 0 {
                open.networks.remove(&self.network);
            }
        }
        drop(open);
        self.connections.left.notify_waiters();
    }
}
