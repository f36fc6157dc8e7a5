//! `saas users`: registering, listing, showing, unlocking, disabling, enabling, resetting, exporting, deleting, second factors.

use futures_util::TryStreamExt;
use saas_auth::{GuessCount, Locked, User, UserStatus};
use saas_core::{Actor, Client};
use saas_kit::Saas;
use saas_tenancy::{Register, Registered, Tenant};
use serde::Serialize;

use super::{date, operator};
use crate::{
    arguments::{CreateUser, ListUsers, SecondFactor, SecondFactorOf, UserName, Users},
    context::Context,
    failure::Failure,
    input::Input,
    output,
    text::{pairs, table},
};

pub(crate) fn run(context: &Context, command: Users) -> Result<(), Failure> {
    match command {
        Users::Create(arguments) => create(context, arguments),
        Users::List(arguments) => list(context, &arguments),
        Users::Show(which) => show(context, &which.user),
        Users::Unlock(which) => unlock(context, &which.user),
        Users::Disable(which) => set_status(context, &which.user, UserStatus::Disabled),
        Users::Enable(which) => set_status(context, &which.user, UserStatus::Active),
        Users::ResetPassword(which) => reset_password(context, &which.user),
        Users::Export(which) => export(context, &which.user),
        Users::Delete(which) => delete(context, &which.user),
        Users::SecondFactor(of) => second_factor(context, &of),
    }
}

#[derive(Serialize)]
struct UserView {
    id: String,
    email: String,
    display_name: Option<String>,
    status: &'static str,
    email_verified: bool,
    created_at: String,
}

impl From<&User> for UserView {
    fn from(user: &User) -> Self {
        Self {
            id: user.id.to_string(),
            email: user.email.shown().to_owned(),
            display_name: user.display_name.as_ref().map(|name| name.as_str().to_owned()),
            status: user.status.as_str(),
            email_verified: user.email_verified_at.is_some(),
            created_at: date(user.created_at),
        }
    }
}

#[derive(Serialize)]
struct TenantView {
    id: String,
    slug: String,
    name: String,
}

impl From<&Tenant> for TenantView {
    fn from(tenant: &Tenant) -> Self {
        let name = tenant.name.as_str().to_owned();
        Self { id: tenant.id.to_string(), slug: tenant.slug.to_string(), name }
    }
}

#[derive(Serialize)]
struct Created {
    user: UserView,
    tenant: TenantView,
}

fn create(context: &Context, arguments: CreateUser) -> Result<(), Failure> {
    let CreateUser { email, tenant_name, display_name, password: from } = arguments;
    let out = context.out();
    let registered = context.with_saas(async |saas| {
        let password = Input::new().new_password(from).await?;
        let command = Register::new(email, password, tenant_name).with_display_name(display_name);
        let registered = saas.tenancy().register(&operator(), command).await.map_err(Failure::fault)?;
        end_session(saas, &registered).await;
        Ok(registered)
    })?;
    let created = Created { user: (&registered.user).into(), tenant: (&registered.tenant).into() };
    out.data(&created, |Created { user, tenant }| {
        pairs([
            ("user", user.id.as_str()),
            ("email", user.email.as_str()),
            ("tenant", tenant.id.as_str()),
            ("slug", tenant.slug.as_str()),
        ])
    })
}

/// Registering opens a session, whose tokens nobody gets here: a session that nobody has must not stand in the user's list.
async fn end_session(saas: &Saas, registered: &Registered) {
    let (auth, tokens) = (saas.auth(), &registered.tokens);
    let ended = match auth.authenticate(tokens.access_token.expose(), None, Client::default()).await {
        Ok(owner) => auth.logout(&owner.actor, &tokens.refresh_token).await.is_ok(),
        Err(_) => false,
    };
    if !ended {
        tracing::warn!(user.id = %registered.user.id, "the session that registering opened could not be ended");
    }
}

#[derive(Serialize)]
struct Listed {
    users: Vec<UserView>,
    next: Option<String>,
}

fn list(context: &Context, arguments: &ListUsers) -> Result<(), Failure> {
    let page = context.with_saas(async |saas| {
        let page = saas.auth().users(&operator(), arguments.after.as_ref(), arguments.limit).await;
        page.map_err(Failure::fault)
    })?;
    let next = page.next.map(|cursor| cursor.as_str().to_owned());
    let listed = Listed { users: page.items.iter().map(UserView::from).collect(), next };
    context.out().data(&listed, |listed| {
        let row = |user: &UserView| {
            let day = user.created_at.chars().take(10).collect();
            [user.id.clone(), user.status.to_owned(), day, user.email.clone()]
        };
        table(["ID", "STATUS", "CREATED", "EMAIL"], &listed.users.iter().map(row).collect::<Vec<_>>())
    })?;
    if let (false, Some(next)) = (context.out().is_json(), &listed.next) {
        output::say(&format!("there are more: saas users list --after {next}"));
    }
    Ok(())
}

#[derive(Serialize)]
struct Changed {
    user: UserView,
}

fn set_status(context: &Context, name: &UserName, status: UserStatus) -> Result<(), Failure> {
    let user = context.with_saas(async |saas| {
        let (auth, actor) = (saas.auth(), operator());
        let user = find(saas, &actor, name).await?;
        let done = match status {
            UserStatus::Active => auth.enable_user(&actor, user.id).await,
            _ => auth.disable_user(&actor, user.id).await,
        };
        done.map_err(Failure::fault)?;
        auth.user(&actor, user.id).await.map_err(Failure::fault)
    })?;
    context.out().data(&Changed { user: (&user).into() }, |Changed { user }| {
        pairs([("user", user.id.as_str()), ("email", user.email.as_str()), ("status", user.status)])
    })
}

#[derive(Serialize)]
struct Mailed {
    user: UserView,
    mailed: bool,
}

fn reset_password(context: &Context, name: &UserName) -> Result<(), Failure> {
    let user = context.with_saas(async |saas| {
        let actor = operator();
        let user = find(saas, &actor, name).await?;
        saas.auth().request_password_reset(&actor, user.id).await.map_err(Failure::fault)?;
        Ok(user)
    })?;
    // Nobody disabled gets a mail.
    let mailed = Mailed { user: (&user).into(), mailed: user.status == UserStatus::Active };
    context.out().data(&mailed, |Mailed { user, mailed }| {
        pairs([
            ("user", user.id.as_str()),
            ("email", user.email.as_str()),
            ("mailed", if *mailed { "yes, by the next worker" } else { "no: the user is disabled" }),
        ])
    })
}

fn export(context: &Context, name: &UserName) -> Result<(), Failure> {
    context.with_saas(async |saas| {
        let actor = operator();
        let user = find(saas, &actor, name).await?;
        let export = saas.export_account(&actor, user.id).await.map_err(Failure::fault)?;
        let mut chunks = export.chunks();
        while let Some(chunk) = chunks.try_next().await.map_err(Failure::fault)? {
            output::bytes(&chunk)?;
        }
        output::bytes(b"\n")
    })
}

/// What was guessed at one of their secrets.
#[derive(Serialize)]
struct GuessView {
    kind: &'static str,
    failures: i64,
    locked: bool,
    /// None while locked: until somebody unlocks.
    locked_until: Option<String>,
}

impl From<GuessCount> for GuessView {
    fn from(count: GuessCount) -> Self {
        let locked_until = match count.locked {
            Some(Locked::Until(at)) => Some(date(at)),
            _ => None,
        };
        let locked = count.locked.is_some();
        Self { kind: count.kind.as_str(), failures: count.failures, locked, locked_until }
    }
}

impl GuessView {
    fn in_words(&self) -> String {
        let failures = match self.failures {
            1 => "1 wrong guess".to_owned(),
            more => format!("{more} wrong guesses"),
        };
        match (&self.locked_until, self.locked) {
            (Some(until), _) => format!("{failures}, locked until {until}"),
            (None, true) => format!("{failures}, locked until somebody unlocks"),
            (None, false) => failures,
        }
    }
}

#[derive(Serialize)]
struct Shown {
    user: UserView,
    guesses: Vec<GuessView>,
}

fn show(context: &Context, name: &UserName) -> Result<(), Failure> {
    let shown = context.with_saas(async |saas| {
        let (auth, actor) = (saas.auth(), operator());
        let user = find(saas, &actor, name).await?;
        let guesses = auth.guesses(&actor, user.id).await.map_err(Failure::fault)?;
        Ok(Shown { user: (&user).into(), guesses: guesses.into_iter().map(GuessView::from).collect() })
    })?;
    context.out().data(&shown, |Shown { user, guesses }| {
        let mut lines = vec![
            ("user", user.id.as_str()),
            ("email", user.email.as_str()),
            ("name", user.display_name.as_deref().unwrap_or("-")),
            ("status", user.status),
            ("verified", if user.email_verified { "yes" } else { "no" }),
            ("created", user.created_at.as_str()),
        ];
        let words: Vec<_> = guesses.iter().map(|guess| (guess.kind, guess.in_words())).collect();
        lines.extend(words.iter().map(|(kind, words)| (*kind, words.as_str())));
        pairs(lines)
    })
}

#[derive(Serialize)]
struct Deleted {
    user: UserView,
    deleted: bool,
}

fn delete(context: &Context, name: &UserName) -> Result<(), Failure> {
    let user = context.with_saas(async |saas| {
        let actor = operator();
        let user = find(saas, &actor, name).await?;
        saas.tenancy().delete_user(&actor, user.id).await.map_err(Failure::fault)?;
        Ok(user)
    })?;
    context.out().data(&Deleted { user: (&user).into(), deleted: true }, |Deleted { user, .. }| {
        pairs([("user", user.id.as_str()), ("email", user.email.as_str()), ("status", "deleted")])
    })
}

#[derive(Serialize)]
struct FactorView {
    user: UserView,
    enrolled_at: Option<String>,
    recovery_codes_left: i64,
}

fn second_factor(context: &Context, SecondFactorOf { which, what }: &SecondFactorOf) -> Result<(), Failure> {
    let view = context.with_saas(async |saas| {
        let (auth, actor) = (saas.auth(), operator());
        let user = find(saas, &actor, &which.user).await?;
        if let SecondFactor::Remove = what {
            auth.remove_second_factor(&actor, user.id).await.map_err(Failure::fault)?;
        }
        let state = auth.second_factor_of_user(&actor, user.id).await.map_err(Failure::fault)?;
        Ok(FactorView {
            user: (&user).into(),
            enrolled_at: state.enrolled_at.map(date),
            recovery_codes_left: state.recovery_codes_left,
        })
    })?;
    context.out().data(&view, |FactorView { user, enrolled_at, recovery_codes_left }| {
        pairs([
            ("user", user.id.as_str()),
            ("email", user.email.as_str()),
            ("second factor", enrolled_at.as_deref().unwrap_or("none")),
            ("recovery codes", recovery_codes_left.to_string().as_str()),
        ])
    })
}

#[derive(Serialize)]
struct Unlocked {
    user: UserView,
    unlocked: bool,
}

fn unlock(context: &Context, name: &UserName) -> Result<(), Failure> {
    let unlocked = context.with_saas(async |saas| {
        let (auth, actor) = (saas.auth(), operator());
        let user = find(saas, &actor, name).await?;
        let unlocked = auth.unlock_user(&actor, user.id).await.map_err(Failure::fault)?;
        Ok(Unlocked { user: (&user).into(), unlocked })
    })?;
    context.out().data(&unlocked, |Unlocked { user, unlocked }| {
        let said = if *unlocked { "yes" } else { "there was nothing to unlock" };
        pairs([("user", user.id.as_str()), ("email", user.email.as_str()), ("unlocked", said)])
    })
}

async fn find(saas: &Saas, actor: &Actor, name: &UserName) -> Result<User, Failure> {
    let found = match name {
        UserName::Id(id) => saas.auth().user(actor, *id).await,
        UserName::Email(email) => saas.auth().user_by_email(actor, email).await,
    };
    found.map_err(Failure::fault)
}
