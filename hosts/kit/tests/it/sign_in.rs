//! Registering and signing in: who gets in, what the others are told, and what is left of an attempt that failed.

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use async_trait::async_trait;
use saas_auth::{
    Argon2id, Argon2idParams, AuthenticateError, CommandError, HashError, Keyring, Password, PasswordAdvice,
    PasswordHash, PasswordHasher, SessionFilter, SignIn, SignInError, Tokens,
};
use saas_core::{
    Actor, Client, Email, ErrorKind, Fault, PageSize, Role, Secret, Slug, TenantChoice, TenantId, TenantName,
    TenantState, UserId, entropy::SeededEntropy,
};
use saas_kit::{
    HashPool,
    testing::{PASSWORD, TestSaas, at_once},
};
use saas_sql::{execute, fetch_one};
use saas_tenancy::{
    MembershipStore, PrepareRegistrationError, Register, RegisterError, RegisterInError, Registered, Tenant,
    TenantStore,
};
use saas_tenancy_sql::{SqlMemberships, SqlTenants};

on_both_engines! {
    async fn every_refusal_looks_the_same_and_costs_one_hash(engine: TestEngine) {
        let hasher = Arc::new(CountingHasher::new());
        let port = Arc::clone(&hasher);
        let test = TestSaas::with_ports(engine, [], |builder| builder.password_hasher(port)).await;
        let ada = test.register("ada@example.com").await;
        let bob = test.register("bob@example.com").await;
        let gone = test.register("gone@example.com").await;
        test.saas.auth().disable_user(&Actor::system("test"), gone.user.id).await.expect("the user is there");
        let shut = test.register("shut@example.com").await;
        set_state(&test, shut.tenant.id, TenantState::Suspended).await;
        let alone = test.register("alone@example.com").await;
        update(&test, "DELETE FROM saas_memberships WHERE user_id = $1", alone.user.id).await;
        let bare = test.register("bare@example.com").await;
        update(&test, "UPDATE saas_users SET password_hash = NULL WHERE id = $1", bare.user.id).await;

        let wrong = "correct horse battery stapler";
        let nowhere = TenantId::generate(&**test.saas.clock(), &**test.saas.entropy());
        let attempts = [
            ("an unknown address", "nobody@example.com", PASSWORD, None),
            ("an unknown address in a tenant", "nobody@example.com", PASSWORD, Some(ada.tenant.id)),
            ("a wrong password", "ada@example.com", wrong, None),
            ("an empty password", "ada@example.com", "", None),
            ("a wrong password in a tenant", "ada@example.com", wrong, Some(ada.tenant.id)),
            ("another's tenant", "ada@example.com", PASSWORD, Some(bob.tenant.id)),
            ("a tenant that is not there", "ada@example.com", PASSWORD, Some(nowhere)),
            ("a disabled user", "gone@example.com", PASSWORD, None),
            ("a disabled user in their tenant", "gone@example.com", PASSWORD, Some(gone.tenant.id)),
            ("a disabled user with a wrong password", "gone@example.com", wrong, None),
            ("a suspended tenant", "shut@example.com", PASSWORD, None),
            ("a named suspended tenant", "shut@example.com", PASSWORD, Some(shut.tenant.id)),
            ("a member of nothing", "alone@example.com", PASSWORD, None),
            ("a user without a password", "bare@example.com", PASSWORD, None),
        ];
        let mut answers = BTreeSet::new();
        for (what, email, password, tenant) in attempts {
            let before = hasher.hashes();
            let error = sign_in(&test, email, password, tenant).await.expect_err(what);
            assert_eq!(hasher.hashes() - before, 1, "{what}");
            assert!(matches!(error, SignInError::InvalidCredentials), "{what}: {error:?}");
            let report = error.report();
            assert_eq!((report.kind, report.retry_after), (ErrorKind::Unauthenticated, None), "{what}");
            assert!(report.fields.is_empty(), "{what}");
            answers.insert((error.to_string(), report.code));
        }
        let told = ("the e-mail address or the password is wrong".to_owned(), "invalid_credentials");
        assert_eq!(answers, BTreeSet::from([told]));

        let before = hasher.hashes();
        assert!(sign_in(&test, "ada@example.com", PASSWORD, Some(ada.tenant.id)).await.is_ok());
        assert_eq!(hasher.hashes() - before, 1, "a right password costs what a wrong one does");
    }

    async fn a_password_that_is_too_long_to_be_anybodys_is_not_hashed(engine: TestEngine) {
        let hasher = Arc::new(CountingHasher::new());
        let port = Arc::clone(&hasher);
        let test = TestSaas::with_ports(engine, [], |builder| builder.password_hasher(port)).await;
        test.register("ada@example.com").await;
        let before = hasher.hashes();
        for email in ["ada@example.com", "nobody@example.com"] {
            let refused = sign_in(&test, email, &"a".repeat(Password::MAX_BYTES + 1), None).await;
            assert!(matches!(refused, Err(SignInError::InvalidCredentials)), "{refused:?}");
        }
        assert_eq!(hasher.hashes(), before);
    }

    async fn an_address_signs_in_however_its_letters_are_written(engine: TestEngine) {
        let test = TestSaas::start(engine).await;
        let ada = test.register("Ada+News@Example.COM").await;
        assert_eq!(ada.user.email.shown(), "Ada+News@Example.COM");
        for written in ["Ada+News@Example.COM", "ada+news@example.com", "ADA+NEWS@EXAMPLE.COM", "aDA+nEWS@example.Com"] {
            let tokens = test.sign_in(written).await.expect(written);
            assert_eq!((tokens.user, tokens.tenant), (ada.user.id, ada.tenant.id), "{written}");
            let again = register(&test, &anonymous(), written, "Another Tenant").await;
            assert!(is_taken(&again), "{written}: {again:?}");
        }
        for other in ["ada@example.com", "ada+other@example.com", "adanews@example.com", "ada+news@example.org"] {
            assert!(test.sign_in(other).await.is_err(), "{other} is another address");
            test.register(other).await;
        }

        let zoe = test.register("Zoë@Bücher.example").await;
        for written in ["zoë@bücher.example", "zoe\u{308}@BÜCHER.example", "ZOË@xn--bcher-kva.example"] {
            assert_eq!(test.sign_in(written).await.expect(written).user, zoe.user.id, "{written}");
        }
    }

    async fn a_browser_on_ipv6_signs_in_and_recognises_its_session(engine: TestEngine) {
        let chrome = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36";
        let test = TestSaas::start(engine).await;
        test.register("Ada+News@Example.com").await;
        let ip = "2001:db8:85a3:8d3:1319:8a2e:370:7348".parse().expect("it is an address");
        let browser = Actor::anonymous(None, Client::new(Some(ip), Some(chrome)));
        let command = SignIn::new(email("ada+NEWS@example.com"), Secret::new(PASSWORD.to_owned()));
        let tokens = test.saas.auth().sign_in(&browser, command).await.expect("the password is right");

        let actor = test.actor(&tokens).await;
        let (filter, size) = (SessionFilter::live(), PageSize::default());
        let page = test.saas.auth().sessions(&actor, &filter, None, 0, size).await.expect("she is signed in");
        assert_eq!(page.total, 2);
        let session = page.page.items.into_iter().find(|session| session.id == tokens.session);
        let session = session.expect("it is on the first page");
        assert_eq!(session.user_agent.as_deref(), Some(chrome));
        assert_eq!(test.saas.auth().address_of(&session).as_deref(), Some("2001:db8:85a3:8d3:*"));
        assert_eq!(session.device.browser.as_deref(), Some("Chrome"));
        assert_eq!(session.device.platform.as_deref(), Some("Windows"));
    }

    async fn a_member_of_two_tenants_names_one_of_them(engine: TestEngine) {
        let test = TestSaas::start(engine).await;
        let ada = test.register("ada@example.com").await;
        let (user, first) = (ada.user.id, ada.tenant.id);
        let second = join_another_tenant(&test, user, "engines", Role::Viewer).await;

        let wrong = sign_in(&test, "ada@example.com", "correct horse battery stapler", None).await;
        assert!(matches!(wrong, Err(SignInError::InvalidCredentials)), "choices are for who knows the password");
        let unnamed = test.sign_in("ada@example.com").await.expect_err("there are two");
        assert_eq!((unnamed.report().kind, unnamed.report().code), (ErrorKind::Conflict, "tenant_required"));
        let SignInError::TenantRequired { choices } = unnamed else { panic!("{unnamed:?}") };
        let shown = |choice: &TenantChoice| (choice.tenant, choice.slug.to_string(), choice.role);
        assert_eq!(
            choices.iter().map(shown).collect::<Vec<_>>(),
            [(first, "test-tenant".to_owned(), Role::Owner), (second, "engines".to_owned(), Role::Viewer)]
        );

        for (tenant, role) in [(first, Role::Owner), (second, Role::Viewer)] {
            let tokens = sign_in(&test, "ada@example.com", PASSWORD, Some(tenant)).await.expect("they belong there");
            assert_eq!((tokens.tenant, &tokens.scopes), (tenant, &role.permissions()));
            let refreshed = test.refresh(&tokens.refresh_token).await.expect("the token is live");
            assert_eq!((refreshed.tenant, &refreshed.scopes), (tenant, &role.permissions()));
            let actor = test.actor(&refreshed).await;
            assert_eq!(actor.user().map(|user| (user.tenant, user.role)), Some((tenant, role)));
        }

        set_state(&test, first, TenantState::Suspended).await;
        let only = test.sign_in("ada@example.com").await.expect("one tenant is left to choose from");
        assert_eq!(only.tenant, second);
    }

    async fn a_suspended_tenant_lets_nobody_in_until_it_is_active_again(engine: TestEngine) {
        let test = TestSaas::start(engine).await;
        let ada = test.register("ada@example.com").await;
        let bob = test.register("bob@example.com").await;

        set_state(&test, ada.tenant.id, TenantState::Suspended).await;
        assert!(matches!(test.sign_in("ada@example.com").await, Err(SignInError::InvalidCredentials)));
        assert!(is_over(&test, &ada.tokens).await);
        assert!(test.refresh(&ada.tokens.refresh_token).await.is_err());
        assert!(test.authenticate(&bob.tokens).await.is_ok(), "another tenant is not concerned");
        assert!(test.sign_in("bob@example.com").await.is_ok());

        set_state(&test, ada.tenant.id, TenantState::Active).await;
        assert!(test.sign_in("ada@example.com").await.is_ok());
        assert!(test.authenticate(&ada.tokens).await.is_ok());
        assert!(test.refresh(&ada.tokens.refresh_token).await.is_ok());
    }

    async fn disabling_a_user_ends_their_sessions_and_enabling_does_not_revive_them(engine: TestEngine) {
        let test = TestSaas::start(engine).await;
        let operator = Actor::system("test");
        let ada = test.register("ada@example.com").await;
        let bob = test.register("bob@example.com").await;
        let phone = test.sign_in("ada@example.com").await.expect("the password is right");

        test.saas.auth().disable_user(&operator, ada.user.id).await.expect("the user is there");
        for tokens in [&ada.tokens, &phone] {
            assert!(is_over(&test, tokens).await);
            assert!(test.refresh(&tokens.refresh_token).await.is_err());
        }
        assert!(test.sign_in("ada@example.com").await.is_err());

        test.saas.auth().enable_user(&operator, ada.user.id).await.expect("the user is there");
        for tokens in [&ada.tokens, &phone] {
            assert!(is_over(&test, tokens).await);
            assert!(test.refresh(&tokens.refresh_token).await.is_err());
        }
        assert!(test.sign_in("ada@example.com").await.is_ok());
        assert!(test.authenticate(&bob.tokens).await.is_ok());
    }

    async fn only_the_product_itself_disables_users(engine: TestEngine) {
        let test = TestSaas::start(engine).await;
        let ada = test.register("ada@example.com").await;
        let bob = test.register("bob@example.com").await;
        let owner = test.actor(&ada.tokens).await;
        for actor in [&owner, &anonymous()] {
            for user in [ada.user.id, bob.user.id] {
                let disabled = test.saas.auth().disable_user(actor, user).await;
                assert!(matches!(disabled, Err(CommandError::Forbidden)), "{disabled:?}");
                let enabled = test.saas.auth().enable_user(actor, user).await;
                assert!(matches!(enabled, Err(CommandError::Forbidden)), "{enabled:?}");
            }
        }
        for tokens in [&ada.tokens, &bob.tokens] {
            assert!(test.authenticate(tokens).await.is_ok());
        }
        let nobody = UserId::generate(&**test.saas.clock(), &**test.saas.entropy());
        let disabled = test.saas.auth().disable_user(&Actor::system("test"), nobody).await;
        assert!(matches!(disabled, Err(CommandError::NotFound)), "{disabled:?}");
    }

    async fn a_sign_in_that_races_a_disabling_leaves_no_session(engine: TestEngine) {
        let test = TestSaas::with_settings(engine, [("SQLITE_SYNCHRONOUS", "normal")]).await;
        let user = test.register("ada@example.com").await.user.id;
        for round in 0..32 {
            let auth = test.saas.auth().clone();
            let answers = at_once(4, |task| {
                let auth = auth.clone();
                async move {
                    if task == 0 {
                        auth.disable_user(&Actor::system("test"), user).await.expect("the user is there");
                        return None;
                    }
                    let command = SignIn::new(email("ada@example.com"), Secret::new(PASSWORD.to_owned()));
                    Some(auth.sign_in(&anonymous(), command).await)
                }
            })
            .await;
            for answer in answers.into_iter().flatten() {
                match answer {
                    Ok(tokens) => assert!(is_over(&test, &tokens).await, "round {round}"),
                    Err(SignInError::InvalidCredentials) => {}
                    Err(error) => panic!("round {round}: {error:?}"),
                }
            }
            let live = "SELECT COUNT(*) FROM saas_sessions WHERE revoked_at IS NULL";
            assert_eq!(count(&test, live).await, 0, "round {round}");
            test.saas.auth().enable_user(&Actor::system("test"), user).await.expect("the user is there");
        }
    }

    async fn of_sixteen_parallel_registrations_of_one_address_one_succeeds(engine: TestEngine) {
        let test = Arc::new(TestSaas::start(engine).await);
        let answers = at_once(16, |number| {
            let test = Arc::clone(&test);
            async move {
                let written = if number % 2 == 0 { "ada@example.com" } else { "ADA@Example.com" };
                register(&test, &anonymous(), written, &format!("Tenant {number}")).await
            }
        })
        .await;
        let (registered, refused): (Vec<_>, Vec<_>) = answers.into_iter().partition(Result::is_ok);
        assert_eq!((registered.len(), refused.len()), (1, 15));
        assert!(refused.iter().all(is_taken), "{refused:?}");
        for table in ["saas_users", "saas_tenants", "saas_memberships", "saas_sessions"] {
            assert_eq!(rows(&test, table).await, 1, "{table}");
        }
        let ada = registered.into_iter().find_map(Result::ok).expect("one succeeded");
        assert!(test.authenticate(&ada.tokens).await.is_ok());
        let again = test.sign_in("ada@example.com").await.expect("the password is right");
        assert_eq!((again.user, again.tenant), (ada.user.id, ada.tenant.id));
        test.drain_jobs().await;
    }

    async fn sixteen_parallel_registrations_of_one_tenant_name_get_slugs_of_their_own(engine: TestEngine) {
        let test = Arc::new(TestSaas::start(engine).await);
        let answers = at_once(16, |number| {
            let test = Arc::clone(&test);
            async move {
                register(&test, &anonymous(), &format!("user{number}@example.com"), "Analytical Engines").await
            }
        })
        .await;
        let registered: Vec<Registered> =
            answers.into_iter().collect::<Result<_, _>>().expect("nobody is in another's way");
        let slugs: BTreeSet<&str> = registered.iter().map(|one| one.tenant.slug.as_str()).collect();
        assert_eq!(slugs.len(), 16);
        assert!(slugs.contains("analytical-engines"));
        assert!(slugs.iter().all(|slug| slug.starts_with("analytical-engines") && Slug::parse(slug).is_ok()));
        for one in &registered {
            assert_eq!(one.tenant.name.as_str(), "Analytical Engines");
            assert!(test.authenticate(&one.tokens).await.is_ok());
        }
        test.drain_jobs().await;
    }

    async fn where_registration_is_not_open_only_the_product_itself_registers(engine: TestEngine) {
        for policy in ["invite_only", "approval"] {
            let hasher = Arc::new(CountingHasher::new());
            let port = Arc::clone(&hasher);
            let settings = [("SIGNUP_ACCESS_POLICY", policy)];
            let test = TestSaas::with_ports(engine, settings, |builder| builder.password_hasher(port)).await;
            let ada = test.register("ada@example.com").await;
            let before = hasher.hashes();

            for actor in [&anonymous(), &test.actor(&ada.tokens).await] {
                for address in ["bob@example.com", "ada@example.com"] {
                    let error = register(&test, actor, address, "Another Tenant").await.expect_err(policy);
                    assert!(matches!(error, RegisterError::Prepare(PrepareRegistrationError::Closed)), "{error:?}");
                    assert_eq!(
                        (error.report().kind, error.report().code),
                        (ErrorKind::Forbidden, "registration_closed")
                    );
                }
            }
            assert_eq!(hasher.hashes(), before, "nothing was hashed for who may not");
            assert_eq!((rows(&test, "saas_users").await, rows(&test, "saas_tenants").await), (1, 1));
        }
    }
}

/// Counts what it lets through.
#[derive(Debug)]
struct CountingHasher {
    pool: HashPool,
    hashes: AtomicUsize,
}

impl CountingHasher {
    fn new() -> Self {
        let entropy = Arc::new(SeededEntropy::new(1));
        let cheap = Argon2idParams { memory_kib: 64, iterations: 1, parallelism: 1 };
        let argon2id =
            Argon2id::new(cheap, Keyring::generate(&*entropy), entropy).expect("the parameters are valid");
        Self { pool: HashPool::new(argon2id, 0, 128), hashes: AtomicUsize::new(0) }
    }

    fn hashes(&self) -> usize {
        self.hashes.load(Ordering::SeqCst)
    }
}

#[async_trait]
impl PasswordHasher for CountingHasher {
    async fn hash(&self, password: Password) -> Result<PasswordHash, HashError> {
        self.hashes.fetch_add(1, Ordering::SeqCst);
        self.pool.hash(password).await
    }

    async fn verify(&self, password: Password, hash: PasswordHash) -> Result<bool, HashError> {
        self.hashes.fetch_add(1, Ordering::SeqCst);
        self.pool.verify(password, hash).await
    }

    fn is_current(&self, hash: &PasswordHash) -> bool {
        self.pool.is_current(hash)
    }

    async fn advise(&self, password: Password, context: Vec<String>) -> Result<PasswordAdvice, HashError> {
        self.pool.advise(password, context).await
    }
}

async fn sign_in(
    test: &TestSaas,
    address: &str,
    password: &str,
    tenant: Option<TenantId>,
) -> Result<Tokens, SignInError> {
    let command = SignIn::new(email(address), Secret::new(password.to_owned())).with_tenant(tenant);
    test.saas.auth().sign_in(&anonymous(), command).await
}

async fn register(
    test: &TestSaas,
    actor: &Actor,
    address: &str,
    tenant: &str,
) -> Result<Registered, RegisterError> {
    let tenant = TenantName::parse(tenant).expect("the name is valid");
    let command = Register::new(email(address), Secret::new(PASSWORD.to_owned()), tenant);
    test.saas.tenancy().register(actor, command).await
}

fn is_taken<T>(answer: &Result<T, RegisterError>) -> bool {
    matches!(answer, Err(RegisterError::Write(RegisterInError::EmailTaken)))
}

/// Founds a tenant with `user` as a member, a second after their first membership.
async fn join_another_tenant(test: &TestSaas, user: UserId, slug: &str, role: Role) -> TenantId {
    test.clock.advance(std::time::Duration::from_secs(1));
    let now = test.saas.clock().now();
    let tenant = Tenant {
        id: TenantId::generate(&**test.saas.clock(), &**test.saas.entropy()),
        slug: Slug::parse(slug).expect("it is a slug"),
        name: TenantName::parse(slug).expect("it is a name"),
        state: TenantState::Active,
        created_at: now,
    };
    let mut tx = test.begin().await;
    assert!(SqlTenants.insert(&mut tx, &tenant).await.expect("the database answers"));
    assert!(SqlMemberships.insert(&mut tx, user, tenant.id, role, now).await.expect("the database answers"));
    tx.commit().await.expect("the database answers");
    tenant.id
}

async fn set_state(test: &TestSaas, tenant: TenantId, state: TenantState) {
    let mut tx = test.begin().await;
    let set = SqlTenants.set_state(&mut tx, tenant, state, test.saas.clock().now()).await;
    assert!(set.expect("the database answers"));
    tx.commit().await.expect("the database answers");
}

/// Runs a statement whose `$1` is a user.
async fn update(test: &TestSaas, statement: &'static str, user: UserId) {
    let mut tx = test.begin().await;
    assert_eq!(execute!(tx.conn(), statement, user.as_uuid()).expect("the statement is valid"), 1);
    tx.commit().await.expect("the database answers");
}

async fn rows(test: &TestSaas, table: &str) -> i64 {
    let query = match table {
        "saas_users" => "SELECT COUNT(*) FROM saas_users",
        "saas_tenants" => "SELECT COUNT(*) FROM saas_tenants",
        "saas_memberships" => "SELECT COUNT(*) FROM saas_memberships",
        "saas_sessions" => "SELECT COUNT(*) FROM saas_sessions",
        _ => panic!("no test counts {table}"),
    };
    count(test, query).await
}

async fn count(test: &TestSaas, query: &'static str) -> i64 {
    let mut tx = test.begin().await;
    fetch_one!(tx.conn(), (i64,), query).expect("the query is valid").0
}

async fn is_over(test: &TestSaas, tokens: &Tokens) -> bool {
    matches!(test.authenticate(tokens).await, Err(AuthenticateError::SessionEnded))
}

fn email(text: &str) -> Email {
    Email::parse(text).expect("the address is valid")
}

fn anonymous() -> Actor {
    Actor::anonymous(None, Client::default())
}
