//! The command line, as clap reads it. Its comments are the help.

use std::path::PathBuf;

use chrono::{DateTime, Utc};
use clap::{Args, Parser, Subcommand, ValueEnum};
use saas_agents::{AgentName, ConversationKey};
use saas_core::{
    Cursor, DisplayName, Email, PageSize, TenantId, TenantName, UserId,
    audit::{AuditAction, AuditActor, AuditSubject, Chain},
    jobs::JobId,
};
use saas_mail::Letter;
use url::Url;

const EXIT_CODES: &str = "\
Exit codes:
  0 ok, 1 failed, 2 usage, 3 action required, 4 not allowed,
  5 dependency missing, 130 interrupted";

/// Operates the product: serves it, migrates its database, manages its users and keys, and talks to its agents.
#[derive(Debug, Parser)]
#[command(
    name = "saas",
    version,
    max_term_width = 80,
    arg_required_else_help = true,
    after_help = EXIT_CODES
)]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(crate) globals: Globals,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What every command takes.
#[derive(Debug, Clone, Args)]
pub(crate) struct Globals {
    /// How data is written to stdout, and an error to stderr.
    #[arg(long, global = true, value_enum, default_value_t = Format::Table, value_name = "FORMAT", help_heading = "Global options")]
    pub(crate) output: Format,
    /// Reads settings from this file, after .env and .env.local; the last one named wins.
    #[arg(long, global = true, value_name = "PATH", help_heading = "Global options")]
    pub(crate) env_file: Vec<PathBuf>,
    /// Sets a setting that is no secret; goes before the environment.
    #[arg(long, global = true, value_name = "NAME=VALUE", help_heading = "Global options")]
    pub(crate) set: Vec<String>,
}

/// How data is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    // For people. (No comments for clap: they would blow up every command's help.)
    Table,
    // For programs: an object with `"schema": 1`.
    Json,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Serves the product over HTTP, until SIGTERM or Ctrl-C.
    Serve,
    /// Brings the database's schema up to date.
    Migrate(Migrate),
    /// Shows and checks the settings.
    #[command(subcommand)]
    Config(Config),
    /// Manages the users.
    #[command(subcommand)]
    Users(Users),
    /// Manages the keys that sign access tokens.
    #[command(subcommand)]
    Keys(Keys),
    /// Manages the keys that personal data is encrypted with.
    #[command(subcommand)]
    Secrets(Secrets),
    /// Shows the work that commands left behind, and what became of it.
    #[command(subcommand)]
    Jobs(Jobs),
    /// Shows what the product's mails look like, and sends one to try out.
    #[command(subcommand)]
    Mail(Mail),
    /// Shows who did what, and whether anybody has changed what is written of it.
    #[command(subcommand)]
    Audit(Audit),
    /// Does jobs and agents' runs without serving, until SIGTERM or Ctrl-C.
    ///
    /// Any number of them share a database, beside servers or behind them.
    Work,
    /// Talks to an agent, in this process or on a server.
    ///
    /// Each line that is read is a message; what the agent answers is written as it comes.
    Chat(Chat),
    /// Prints the HTTP API's description, OpenAPI 3.1 in JSON.
    Openapi,
    /// Prints the version.
    Version,
    /// Prints completions for a shell.
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
    /// Prints the manual page, or writes one for each command.
    Man(Man),
}

#[derive(Debug, Args)]
pub(crate) struct Migrate {
    /// Prints what is pending, and applies nothing.
    #[arg(long, conflicts_with = "verify")]
    pub(crate) plan: bool,
    /// Prints what is pending, and exits with 3 when anything is.
    #[arg(long)]
    pub(crate) verify: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Config {
    /// Lists every setting there is.
    Schema,
    /// Shows every setting's value and where it comes from, secrets masked.
    Show,
    /// Checks the settings and lists every problem at once.
    Check,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Users {
    /// Registers a user and the tenant that they own.
    Create(CreateUser),
    /// Lists the users, a page at a time.
    List(ListUsers),
    /// Shows a user, and what was guessed at their password.
    Show(WhichUser),
    /// Unlocks a user who is locked after wrong guesses.
    ///
    /// Whatever was guessed at their secrets is forgotten.
    Unlock(WhichUser),
    /// Disables a user and ends their sessions.
    Disable(WhichUser),
    /// Lets a disabled user sign in again.
    Enable(WhichUser),
    /// Mails a user what sets a new password; nothing changes until they use it.
    ResetPassword(WhichUser),
    /// Writes everything that is held of a user to stdout, as one JSON document.
    ///
    /// Hashes and secrets are not in it. That it was written is noted in the audit log. One that breaks off exits with 1 and is no JSON.
    Export(WhichUser),
    /// Deletes a user with all that is kept of them.
    ///
    /// A tenant whose only member they are is suspended; the only owner of a tenant with other members is refused.
    Delete(WhichUser),
    /// Shows a user's second factor, or removes one that is lost.
    SecondFactor(SecondFactorOf),
}

#[derive(Debug, Args)]
pub(crate) struct SecondFactorOf {
    #[command(flatten)]
    pub(crate) which: WhichUser,
    #[command(subcommand)]
    pub(crate) what: SecondFactor,
}

#[derive(Debug, Clone, Copy, Subcommand)]
pub(crate) enum SecondFactor {
    /// Shows whether the user has one, and how many recovery codes are left.
    Show,
    /// Removes it with the recovery codes, ends the user's sessions, and tells them by mail.
    ///
    /// For somebody who has lost both and has proved by other means who they are.
    Remove,
}

#[derive(Debug, Args)]
pub(crate) struct CreateUser {
    /// Their e-mail address.
    #[arg(value_parser = Email::parse)]
    pub(crate) email: Email,
    /// The name of their tenant.
    #[arg(long, value_name = "NAME", value_parser = TenantName::parse)]
    pub(crate) tenant_name: TenantName,
    /// How they want to be called.
    #[arg(long, value_name = "NAME", value_parser = DisplayName::parse)]
    pub(crate) display_name: Option<DisplayName>,
    #[command(flatten)]
    pub(crate) password: PasswordFrom,
}

/// Where the password comes from: never from the command line, which others can see.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct PasswordFrom {
    /// Reads the password from the first line of stdin instead of asking on the terminal.
    #[arg(long)]
    pub(crate) password_stdin: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ListUsers {
    /// How many, 1 to 100.
    #[arg(long, value_name = "NUMBER", default_value = "20", value_parser = page_size)]
    pub(crate) limit: PageSize,
    /// Goes on where a page ended: its `next`.
    #[arg(long, value_name = "CURSOR", value_parser = Cursor::from_wire, allow_hyphen_values = true)]
    pub(crate) after: Option<Cursor>,
}

#[derive(Debug, Args)]
pub(crate) struct WhichUser {
    /// Their id or e-mail address.
    #[arg(value_parser = user)]
    pub(crate) user: UserName,
}

/// What a user is called on the command line.
#[derive(Debug, Clone)]
pub(crate) enum UserName {
    Id(UserId),
    Email(Email),
}

#[derive(Debug, Subcommand)]
pub(crate) enum Keys {
    /// Shows the keys that verify now.
    Show,
    /// Makes the step of a rotation that is due.
    ///
    /// The first publishes a new key; the second, once every verifier has it, signs with it and retires the old one.
    Rotate(RotateKeys),
}

#[derive(Debug, Args)]
pub(crate) struct RotateKeys {
    /// Drops every key at once and signs with a new one: every access token so far is refused.
    #[arg(long)]
    pub(crate) emergency: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Secrets {
    /// Adds a data key, which encrypts as soon as every server knows it.
    ///
    /// What is stored stays under its key: see `saas secrets reencrypt`.
    Rotate,
    /// Encrypts personal data again, under the active data key.
    ///
    /// Run it after a rotation, and after an upgrade that encrypts what was not before. It works beside running servers; stopped half-way, it
    /// goes on the next time.
    Reencrypt,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Jobs {
    /// Lists the jobs that are not done, a page at a time.
    List(ListJobs),
    /// Shows a job, and why its last attempt failed.
    Show(WhichJob),
    /// Has a dead job tried again.
    Retry(WhichJob),
    /// Removes a job that does not run, undone.
    Cancel(WhichJob),
    /// Does what is due, until nothing is; exits with 3 when dead jobs are left.
    ///
    /// For a deployment whose servers are stopped, or beside them. What is due later is left.
    Drain,
}

#[derive(Debug, Args)]
pub(crate) struct ListJobs {
    /// Those in that state.
    #[arg(long, value_enum)]
    pub(crate) state: Option<State>,
    /// Those of that kind.
    #[arg(long, value_name = "KIND")]
    pub(crate) kind: Option<String>,
    /// How many, 1 to 100.
    #[arg(long, value_name = "NUMBER", default_value = "20", value_parser = page_size)]
    pub(crate) limit: PageSize,
    /// Goes on where a page ended: its `next`.
    #[arg(long, value_name = "CURSOR", value_parser = Cursor::from_wire, allow_hyphen_values = true)]
    pub(crate) after: Option<Cursor>,
}

/// A job's state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum State {
    Waiting,
    Running,
    Dead,
}

#[derive(Debug, Args)]
pub(crate) struct WhichJob {
    /// The job's id, as the list has it.
    pub(crate) id: JobId,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Mail {
    /// Lists the mails, or shows one with made-up content.
    Preview(PreviewMail),
    /// Sends a test mail as the settings say.
    ///
    /// Nothing else is opened for it, and it is tried once.
    Test(TestMail),
}

#[derive(Debug, Args)]
pub(crate) struct PreviewMail {
    /// The mail's name; without it all are listed.
    #[arg(value_parser = letter)]
    pub(crate) name: Option<&'static str>,
    /// What to show of it.
    #[arg(long, value_enum, default_value_t = MailFormat::Text, value_name = "FORMAT", requires = "name")]
    pub(crate) format: MailFormat,
    /// Writes it into this file.
    #[arg(long, value_name = "PATH", requires = "name")]
    pub(crate) file: Option<PathBuf>,
}

/// What is shown of a mail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum MailFormat {
    Text,
    Html,
    // As it would be sent; mail programs open it.
    Eml,
}

#[derive(Debug, Args)]
pub(crate) struct TestMail {
    /// Whom to send it to.
    #[arg(long, value_name = "ADDRESS", value_parser = Email::parse)]
    pub(crate) to: Email,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Audit {
    /// Lists what was done, the newest first, a page at a time.
    List(ListAudit),
    /// Finds what was changed, removed or put in, and names it; exits with 1 when there is anything.
    ///
    /// Without a tenant it goes through every chain, and misses those that are gone.
    Verify(WhichChain),
    /// Writes sealed rows and the ends of their chains, a JSON object a line, for verifiers of others.
    Export(WhichChain),
}

#[derive(Debug, Args)]
pub(crate) struct ListAudit {
    #[command(flatten)]
    pub(crate) which: WhichChain,
    /// What that actor did: anonymous, user:ID, or system:PART.
    #[arg(long, value_name = "ACTOR", value_parser = AuditActor::parse)]
    pub(crate) actor: Option<AuditActor>,
    /// What was done to that subject, as user:ID.
    #[arg(long, value_name = "SUBJECT", value_parser = AuditSubject::parse)]
    pub(crate) subject: Option<AuditSubject>,
    /// That action, as `auth.session.opened`.
    #[arg(long, value_name = "ACTION", value_parser = AuditAction::parse)]
    pub(crate) action: Option<AuditAction>,
    /// From that time on, as `2026-01-31T12:00:00Z`.
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub(crate) from: Option<DateTime<Utc>>,
    /// Before that time.
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub(crate) until: Option<DateTime<Utc>>,
    /// How many, 1 to 100.
    #[arg(long, value_name = "NUMBER", default_value = "20", value_parser = page_size)]
    pub(crate) limit: PageSize,
    /// Goes on where a page ended: its `next`.
    #[arg(long, value_name = "CURSOR", value_parser = Cursor::from_wire, allow_hyphen_values = true)]
    pub(crate) after: Option<Cursor>,
}

/// Every chain without either.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct WhichChain {
    /// That tenant's alone.
    #[arg(long, value_name = "ID")]
    pub(crate) tenant: Option<TenantId>,
    /// The platform's alone: what belongs to no tenant.
    #[arg(long, conflicts_with = "tenant")]
    pub(crate) platform: bool,
    /// What belongs to nobody, and is kept for a time only.
    #[arg(long, conflicts_with_all = ["tenant", "platform"])]
    pub(crate) passing: bool,
}

impl WhichChain {
    /// The one that was asked for.
    pub(crate) fn chain(self) -> Option<Chain> {
        let tenant = self.tenant.map(Chain::Tenant);
        let platform = self.platform.then_some(Chain::Platform);
        tenant.or(platform).or_else(|| self.passing.then_some(Chain::Passing))
    }
}

#[derive(Debug, Args)]
pub(crate) struct Chat {
    /// Whom to sign in as.
    #[arg(long, value_parser = Email::parse)]
    pub(crate) email: Email,
    #[command(flatten)]
    pub(crate) password: PasswordFrom,
    /// The tenant, for those who belong to several.
    #[arg(long, value_name = "ID")]
    pub(crate) tenant: Option<TenantId>,
    /// The agent; triage without it.
    #[arg(long, value_name = "NAME", value_parser = AgentName::parse)]
    pub(crate) agent: Option<AgentName>,
    /// The conversation to go on with; a new one without it.
    #[arg(long, value_name = "KEY", value_parser = ConversationKey::parse)]
    pub(crate) conversation: Option<ConversationKey>,
    /// A server's address; without it the product is opened in this process.
    #[arg(long, value_name = "URL", value_parser = server)]
    pub(crate) server: Option<Url>,
}

#[derive(Debug, Args)]
pub(crate) struct Man {
    /// Writes a page for each command into this directory.
    #[arg(long, value_name = "PATH")]
    pub(crate) dir: Option<PathBuf>,
}

fn page_size(text: &str) -> Result<PageSize, &'static str> {
    text.parse().ok().and_then(PageSize::new).ok_or("a page has 1 to 100 of them")
}

fn letter(text: &str) -> Result<&'static str, &'static str> {
    let named = Letter::NAMES.into_iter().find(|name| *name == text);
    named.ok_or("no mail has that name; they are listed by: saas mail preview")
}

fn time(text: &str) -> Result<DateTime<Utc>, &'static str> {
    let time = DateTime::parse_from_rfc3339(text).map(|time| time.to_utc());
    time.map_err(|_| "not a time such as 2026-01-31T12:00:00Z")
}

fn user(text: &str) -> Result<UserName, &'static str> {
    let id = text.parse().map(UserName::Id).ok();
    id.or_else(|| Email::parse(text).map(UserName::Email).ok()).ok_or("neither an id nor an e-mail address")
}

fn server(text: &str) -> Result<Url, &'static str> {
    let url = Url::parse(text).map_err(|_| "not an address such as https://app.example.com")?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err("the address begins with neither http:// nor https://");
    }
    if !url.username().is_empty() || url.password().is_some() || url.query().is_some() {
        return Err("the address has credentials or a query in it");
    }
    Ok(url)
}
