//! `saas users`: registering, listing, disabling, enabling, resetting, exporting and deleting.

use futures_util::TryStreamExt;
use saas_auth::{User, UserStatus};
use saas_core::{Actor, Client};
use saas_kit::Saas;
use saas_tenancy::{Register, Registered, Tenant};
use serde::Serialize;

use super::{date, operator};
use crate::{
    arguments::{CreateUser, ListUsers, UserName, Users},
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
        Users::Disable(which) => set_status(context, &which.user, UserStatus::Disabled),
        Users::Enable(which) => set_status(context, &which.user, UserStatus::Active),
        Users::ResetPassword(which) => reset_password(context, &which.user),
        Users::Export(which) => export(context, &which.user),
        Users::Delete(which) => delete(context, &which.user),
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

async fn find(saas: &Saas, actor: &Actor, name: &UserName) -> Result<User, Failure> {
    let found = match name {
        UserName::Id(id) => saas.auth().user(actor, *id).await,
        UserName::Email(email) => saas.auth().user_by_email(actor, email).await,
    };
    found.map_err(Failure::fault)
}
