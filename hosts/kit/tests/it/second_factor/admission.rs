//! What a challenge is bound to, and that nothing goes around the second factor.

use std::{fs, path::Path, time::Duration};

use saas_agents::StartRun;
use saas_auth::{DeviceToken, SecondFactorSignIn, SignIn, SignInError, UserStatus};
use saas_core::{Actor, Client, Email, Role, Secret, clock::stored_now};
use saas_kit::testing::{PASSWORD, TestSaas, at_once};
use saas_tenancy::MembershipStore;
use saas_tenancy_sql::SqlMemberships;

use super::{ADA, audited, claims, stage, stage_of};

fn nobody() -> Actor {
    Actor::anonymous(None, Client::default())
}

fn secret(text: &str) -> Secret<String> {
    Secret::new(text.to_owned())
}

/// What Ada gets for that password.
pub(super) async fn challenge_for(test: &TestSaas, password: &Secret<String>) -> Secret<String> {
    let command = SignIn::new(Email::parse(ADA).unwrap(), password.clone());
    match test.saas.auth().sign_in(&nobody(), command).await {
        Err(SignInError::SecondFactorRequired { challenge, .. }) => challenge,
        other => panic!("a second factor is asked for: {other:?}"),
    }
}

fn password(email: &str) -> SignIn {
    SignIn::new(Email::parse(email).unwrap(), Secret::new(PASSWORD.to_owned()))
}

on_both_engines! {
    async fn a_challenge_is_over_after_five_minutes(engine: TestEngine) {
        let stage = stage(engine).await;
        let challenge = stage.test.challenge(ADA).await;
        stage.test.clock.advance(Duration::from_secs(299));
        assert!(matches!(stage.test.meet(&challenge, stage.wrong()).await, Err(SignInError::InvalidCode)));
        stage.test.clock.advance(Duration::from_secs(1));
        assert!(matches!(stage.test.meet(&challenge, stage.code()).await, Err(SignInError::InvalidChallenge)));
    }

    async fn a_challenge_that_is_forged_used_or_no_challenge_opens_nothing(engine: TestEngine) {
        let stage = stage(engine).await;
        let challenge = stage.test.challenge(ADA).await;
        let mut forged = challenge.expose().clone();
        forged.replace_range(forged.len() - 1.., if forged.ends_with('A') { "Q" } else { "A" });
        let others = [forged, String::new(), stage.tokens.refresh_token.expose().clone(), stage.tokens.access_token.expose().clone()];
        for other in others {
            let met = stage.test.meet(&Secret::new(other), stage.code()).await;
            assert!(matches!(met, Err(SignInError::InvalidChallenge)), "{met:?}");
        }
        assert!(stage.test.meet(&challenge, stage.code()).await.is_ok());
        stage.test.next_code();
        assert!(matches!(stage.test.meet(&challenge, stage.code()).await, Err(SignInError::InvalidChallenge)));
        // Nor is it one of the other credentials.
        assert!(stage.test.refresh(&challenge).await.is_err());
        assert!(stage.test.saas.auth().authenticate(challenge.expose(), None, Client::default()).await.is_err());
    }

    async fn a_challenge_ends_with_the_password_that_it_came_after(engine: TestEngine) {
        let stage = stage(engine).await;
        let auth = stage.test.saas.auth();
        let over = async |challenge: &Secret<String>| {
            for proof in [stage.code(), stage.recovery(0)] {
                let met = stage.test.meet(challenge, proof).await;
                assert!(matches!(met, Err(SignInError::InvalidChallenge)), "{met:?}");
            }
        };
        let [old, changed, reset] = [PASSWORD, "another horse battery", "a third horse battery"].map(secret);
        let challenge = stage.test.challenge(ADA).await;
        let me = stage.test.actor(&stage.tokens).await;
        let tokens = auth.change_password(&me, &old, &changed, true).await.unwrap();
        over(&challenge).await;

        let challenge = challenge_for(&stage.test, &changed).await;
        auth.forgot_password(&nobody(), &Email::parse(ADA).unwrap()).await.unwrap();
        let mail = stage.test.mail.wait_for(|mail| mail.template == "password_reset").await;
        let token = mail.variables.into_iter().find(|(name, _)| *name == "token").unwrap().1;
        auth.reset_password(&nobody(), &Secret::new(token), &reset).await.unwrap();
        over(&challenge).await;
        assert!(stage.test.authenticate(&tokens).await.is_err());
        let left = auth.second_factor_of_user(&Actor::system("test"), stage.tokens.user).await.unwrap();
        assert_eq!(left.recovery_codes_left, 10, "no code was used up for nothing");

        // Who has reset it is asked for the second factor as before (ASVS 6.4.3).
        let challenge = challenge_for(&stage.test, &reset).await;
        assert_eq!(claims(&stage.test, &stage.test.meet(&challenge, stage.code()).await.unwrap()).await.acr, "aal2");
        stage.test.drain_jobs().await;
    }

    async fn a_challenge_outlives_the_same_password_hashed_anew(engine: TestEngine) {
        let stage = stage(engine).await;
        let first = stage.test.challenge(ADA).await;
        let dearer = [("PASSWORD_HASH_MEMORY_KIB", "128")];
        let dearer = TestSaas::blueprint(&stage.test.database, stage.test.clock.clone(), 7, dearer).open().await.unwrap();
        let rehashing = dearer.auth().sign_in(&nobody(), password(ADA)).await;
        let Err(SignInError::SecondFactorRequired { challenge: second, .. }) = rehashing else { panic!("{rehashing:?}") };
        let rehashed = ("auth.password.rehashed".to_owned(), String::new());
        assert!(audited(&stage.test).await.contains(&rehashed));
        stage.test.meet(&first, stage.code()).await.unwrap();
        stage.test.next_code();
        stage.test.meet(&second, stage.code()).await.unwrap();
    }

    async fn a_device_gets_its_token_once_the_second_factor_is_shown(engine: TestEngine) {
        let stage = stage(engine).await;
        let tokens = stage.sign_in(stage.code()).await.unwrap();
        let device = tokens.device_token.expect("it is for the next sign-in");
        stage.test.next_code();
        let command = SecondFactorSignIn::new(stage.test.challenge(ADA).await, stage.code());
        let command = command.with_device_token(Some(device.clone()));
        let tokens = stage.test.saas.auth().sign_in_with_second_factor(&nobody(), command).await.unwrap();
        let [before, after] = [&device, &tokens.device_token.unwrap()].map(|token| DeviceToken::parse(token.expose()).unwrap());
        assert_eq!(before.device, after.device, "it is the same device");
        // Strangers lock the account, and not the device.
        for _ in 0..6 {
            let wrong = SignIn::new(Email::parse(ADA).unwrap(), secret("not the password at all"));
            stage.test.saas.auth().sign_in(&nobody(), wrong).await.unwrap_err();
        }
        let locked = stage.test.saas.auth().sign_in(&nobody(), password(ADA)).await;
        assert!(matches!(locked, Err(SignInError::InvalidCredentials)), "{locked:?}");
        let known = stage.test.saas.auth().sign_in(&nobody(), password(ADA).with_device_token(Some(device))).await;
        assert!(matches!(known, Err(SignInError::SecondFactorRequired { .. })), "{known:?}");
        stage.test.drain_jobs().await;
    }

    async fn no_challenge_stands_on_a_password_that_is_replaced_at_the_same_time(engine: TestEngine) {
        let stage = std::sync::Arc::new(stage(engine).await);
        let (old, new) = (secret(PASSWORD), secret("another horse battery"));
        let me = stage.test.actor(&stage.tokens).await;
        let done = at_once(9, |number| {
            let (stage, old, new, me) = (stage.clone(), old.clone(), new.clone(), me.clone());
            async move {
                if number == 4 {
                    stage.test.saas.auth().change_password(&me, &old, &new, true).await.unwrap();
                    return None;
                }
                match stage.test.saas.auth().sign_in(&nobody(), password(ADA)).await {
                    Err(SignInError::SecondFactorRequired { challenge, .. }) => Some(challenge),
                    Err(SignInError::InvalidCredentials) => None,
                    other => panic!("{other:?}"),
                }
            }
        })
        .await;
        for challenge in done.into_iter().flatten() {
            let met = stage.test.meet(&challenge, stage.code()).await;
            assert!(matches!(met, Err(SignInError::InvalidChallenge)), "{met:?}");
        }
        stage.test.drain_jobs().await;
    }

    async fn whoever_may_not_come_in_any_more_is_not_let_in_by_a_challenge(engine: TestEngine) {
        let stage = stage(engine).await;
        let operator = Actor::system("test");
        let challenge = stage.test.challenge(ADA).await;
        stage.test.saas.auth().disable_user(&operator, stage.tokens.user).await.unwrap();
        assert!(matches!(stage.test.meet(&challenge, stage.code()).await, Err(SignInError::InvalidChallenge)));
        stage.test.saas.auth().enable_user(&operator, stage.tokens.user).await.unwrap();
        assert!(matches!(stage.test.meet(&challenge, stage.code()).await, Err(SignInError::InvalidChallenge)));
        let challenge = stage.test.challenge(ADA).await;
        assert_eq!(stage.change("UPDATE saas_tenants SET state = 'suspended'").await, 1);
        assert!(matches!(stage.test.meet(&challenge, stage.code()).await, Err(SignInError::InvalidChallenge)));
        assert_eq!(stage.change("UPDATE saas_tenants SET state = 'active'").await, 1);
        let tokens = stage.test.meet(&challenge, stage.code()).await.unwrap();
        assert_eq!(stage.test.authenticate(&tokens).await.unwrap().user().status, UserStatus::Active);
    }

    async fn a_wrong_password_tells_nothing_of_a_second_factor(engine: TestEngine) {
        let stage = stage(engine).await;
        stage.test.register("bob@example.com").await;
        for email in [ADA, "bob@example.com", "nobody@example.com"] {
            let command = SignIn::new(Email::parse(email).unwrap(), Secret::new("not the password at all".to_owned()));
            let refused = stage.test.saas.auth().sign_in(&nobody(), command).await;
            assert!(matches!(refused, Err(SignInError::InvalidCredentials)), "{email}: {refused:?}");
        }
    }

    async fn who_belongs_to_several_tenants_names_one_and_the_challenge_is_for_that_one(engine: TestEngine) {
        let stage = stage(engine).await;
        let bob = stage.test.register("bob@example.com").await;
        let mut tx = stage.test.begin().await;
        let now = stored_now(&**stage.test.saas.clock());
        SqlMemberships.insert(&mut tx, stage.tokens.user, bob.tenant.id, Role::Member, now).await.unwrap();
        tx.commit().await.unwrap();
        let auth = stage.test.saas.auth();
        let unnamed = auth.sign_in(&nobody(), password(ADA)).await;
        assert!(matches!(unnamed, Err(SignInError::TenantRequired { .. })), "{unnamed:?}");
        let named = auth.sign_in(&nobody(), password(ADA).with_tenant(Some(bob.tenant.id))).await;
        let Err(SignInError::SecondFactorRequired { challenge, .. }) = named else { panic!("{named:?}") };
        let tokens = stage.test.meet(&challenge, stage.code()).await.unwrap();
        assert_eq!(tokens.tenant, bob.tenant.id);
    }

    async fn who_has_to_have_one_may_do_nothing_but_add_it(engine: TestEngine) {
        let test = TestSaas::with_settings(engine, [("AUTH_SECOND_FACTOR", "required")]).await;
        let tokens = test.register(ADA).await.tokens;
        assert_eq!((tokens.scopes.to_scope(), claims(&test, &tokens).await.scope.to_scope()), (String::new(), String::new()));
        let actor = test.actor(&tokens).await;
        let refused = test.saas.agents().start(&actor, StartRun::new("What is 6 * 7?")).await;
        assert!(refused.is_err(), "{refused:?}");
        assert!(test.saas.auth().second_factor(&actor).await.unwrap().required);
        // A refresh does not change that.
        let tokens = test.refresh(&tokens.refresh_token).await.unwrap();
        assert_eq!(tokens.scopes.to_scope(), "");

        let stage_tokens = test.sign_in(ADA).await.unwrap();
        let (app, added) = test.add_authenticator(&stage_tokens).await;
        assert_eq!(added.tokens.scopes, Role::Owner.permissions());
        let actor = test.actor(&added.tokens).await;
        test.saas.agents().start(&actor, StartRun::new("What is 6 * 7?")).await.unwrap();
        let actor = test.actor(&tokens).await;
        assert!(test.saas.agents().start(&actor, StartRun::new("What?")).await.is_err(), "the other session did not show it");
        let signed_in = test.meet(&test.challenge(ADA).await, saas_auth::FactorProof::Code(app.code())).await.unwrap();
        assert_eq!(signed_in.scopes, Role::Owner.permissions());
    }

    async fn only_admins_have_to_where_only_they_have_to(engine: TestEngine) {
        let test = TestSaas::with_settings(engine, [("AUTH_SECOND_FACTOR", "required_for_admins")]).await;
        let owner = test.register(ADA).await;
        assert_eq!(owner.tokens.scopes.to_scope(), "");
        let bob = test.register("bob@example.com").await;
        let mut tx = test.begin().await;
        let now = stored_now(&**test.saas.clock());
        SqlMemberships.insert(&mut tx, bob.user.id, owner.tenant.id, Role::Member, now).await.unwrap();
        tx.commit().await.unwrap();
        let command = password("bob@example.com").with_tenant(Some(owner.tenant.id));
        let member = test.saas.auth().sign_in(&nobody(), command).await.unwrap();
        assert_eq!(member.scopes, Role::Member.permissions());
        // Who becomes an admin has to from that moment on.
        let stage = stage_of(TestSaas::with_settings(engine, [("AUTH_SECOND_FACTOR", "required_for_admins")]).await).await;
        assert_eq!(stage.tokens.scopes, Role::Owner.permissions());
    }
}

fn sources(path: &Path, found: &mut Vec<(String, String)>) {
    for entry in fs::read_dir(path).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push((
                path.file_name().unwrap().to_str().unwrap().to_owned(),
                fs::read_to_string(&path).unwrap(),
            ));
        }
    }
}

/// A session is written in one place, which takes whom signing in admitted or registering made, or whose session, password and second factor were
/// shown for a change of the password; `NewUser` and `Admitted` are made nowhere else.
#[test]
fn no_first_factor_goes_around_the_second() {
    let mut files = Vec::new();
    sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../../saas-auth/src"), &mut files);
    let holding = |text: &str| -> Vec<&str> {
        let files = files.iter().filter(|(name, _)| name != "session_store.rs");
        files.flat_map(|(name, source)| source.matches(text).map(|_| name.as_str())).collect()
    };
    assert_eq!(holding("sessions.insert("), ["open_session.rs"]);
    let mut callers = holding(".write_session(");
    callers.sort_unstable();
    assert_eq!(callers, ["open_session.rs", "password.rs", "sign_in.rs"]);
    assert_eq!(holding("Ok(NewUser {"), ["registration.rs"]);
    let mut admitting = holding("Ok(Admitted {");
    admitting.sort_unstable();
    assert_eq!(admitting, ["admission.rs", "second_factor.rs"]);
}
