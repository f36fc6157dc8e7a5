//! What a host shows of a decision, made once.

use std::{fmt, sync::OnceLock};

use bytes::Bytes;

/// Room for one view, by its name.
#[derive(Default)]
pub(super) struct View(OnceLock<(&'static str, Bytes)>);

impl View {
    /// The view of that name; one that there is no room for is made each time.
    pub(super) fn get_or_make<E>(
        &self,
        name: &'static str,
        make: impl FnOnce() -> Result<Bytes, E>,
    ) -> Result<Bytes, E> {
        match self.0.get() {
            Some((known, view)) if *known == name => return Ok(view.clone()),
            Some(_) => return make(),
            None => {}
        }
        let view = make()?;
        // Another request of the same token may have been first.
        let _ = self.0.set((name, view.clone()));
        Ok(view)
    }
}

/// Views have names and addresses in them.
impl fmt::Debug for View {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("View").field("made", &self.0.get().is_some()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_view_is_made_once_and_another_one_each_time() {
        let (view, mut made) = (View::default(), Vec::new());
        let mut show = |name, text: &'static str| {
            let shown = view.get_or_make(name, || {
                made.push(text);
                Ok::<_, ()>(Bytes::from_static(text.as_bytes()))
            });
            shown.expect("it was made")
        };
        assert_eq!(show("me", "1"), "1");
        assert_eq!(show("me", "2"), "1");
        assert_eq!(show("other", "3"), "3");
        assert_eq!(show("other", "4"), "4");
        assert_eq!(made, ["1", "3", "4"]);
    }

    #[test]
    fn a_view_that_could_not_be_made_is_made_again_and_debug_shows_none() {
        let view = View::default();
        assert_eq!(view.get_or_make("me", || Err("no")), Err("no"));
        assert_eq!(
            view.get_or_make("me", || Ok::<_, &str>(Bytes::from_static(b"ada@example.com"))).unwrap(),
            "ada@example.com"
        );
        assert_eq!(format!("{view:?}"), "View { made: true, .. }");
    }
}
