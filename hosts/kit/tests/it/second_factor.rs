//! Second factors: what signing in takes, what is good once, what guessing comes to, who has to have one.

mod admission;
mod guesses;
mod step_up;

use std::{collections::BTreeSet, time::Duration};

use saas_auth::{FactorProof, RecoveryCode, SecondFactorError, SignInError, Tokens, token::AccessClaims};
use saas_core::{Actor, Reach, Secret, Storage, audit::AuditFilter};
use saas_kit::testing::{Authenticator, TestEngine, TestSaas, at_once};
use saas_sql::{execute, fetch_all};

const ADA: &str = "ada@example.com";

/// Ada with an app.
struct Stage {
    test: TestSaas,
    app: Authenticator,
    codes: Vec<Secret<String>>,
    /// Of the session that she added it in.
    tokens: Tokens,
}

async fn stage(engine: TestEngine) -> Stage {
    stage_of(TestSaas::start(engine).await).await
}

async fn stage_of(test: TestSaas) -> Stage {
    test.register(ADA).await;
    let tokens = test.sign_in(ADA).await.expect("no second factor yet");
    let (app, added) = test.add_authenticator(&tokens).await;
    Stage { test, app, codes: added.recovery_codes, tokens: added.tokens }
}

impl Stage {
    async fn sign_in(&self, proof: FactorProof) -> Result<Tokens, SignInError> {
        self.test.meet(&self.test.challenge(ADA).await, proof).await
    }

    fn code(&self) -> FactorProof {
        FactorProof::Code(self.app.code())
    }

    fn wrong(&self) -> FactorProof {
        FactorProof::Code(self.app.wrong())
    }

    fn recovery(&self, index: usize) -> FactorProof {
        FactorProof::RecoveryCode(RecoveryCode::parse(self.codes[index].expose()).unwrap())
    }

    async fn change(&self, statement: &'static str) -> u64 {
        let mut tx = self.test.begin().await;
        let changed = execute!(tx.conn(), statement).unwrap();
        tx.commit().await.unwrap();
        changed
    }
}

async fn claims(test: &TestSaas, tokens: &Tokens) -> AccessClaims {
    test.authenticate(tokens).await.unwrap().claims().clone()
}

/// The names of the mails that were sent, the welcome aside, in the order of the alphabet, for several are sent at once.
async fn mails(test: &TestSaas) -> Vec<&'static str> {
    test.drain_jobs().await;
    let mails = test.mail.mails();
    let mut names: Vec<_> =
        mails.iter().map(|mail| mail.template).filter(|name| *name != "welcome").collect();
    names.sort_unstable();
    names
}

/// What was done and how it ended, of all rows of the audit log.
async fn audited(test: &TestSaas) -> Vec<(String, String)> {
    let size = saas_core::PageSize::new(100).unwrap();
    let page =
        test.saas.audit().list(&Actor::system("test"), &AuditFilter::default(), None, size).await.unwrap();
    page.items.into_iter().map(|row| (row.entry.action, row.entry.reason.unwrap_or_default())).collect()
}

on_both_engines! {
    async fn a_code_after_the_password_signs_in_and_the_tokens_say_so(engine: TestEngine) {
        let stage = stage(engine).await;
        let tokens = stage.sign_in(stage.code()).await.unwrap();
        let claimed = claims(&stage.test, &tokens).await;
        assert_eq!((claimed.amr, claimed.acr.as_str()), (["pwd", "otp", "mfa"].map(str::to_owned).to_vec(), "aal2"));
        stage.test.clock.advance(Duration::from_mins(3));
        let refreshed = stage.test.refresh(&tokens.refresh_token).await.unwrap();
        let kept = claims(&stage.test, &refreshed).await;
        assert_eq!((kept.auth_time, kept.acr.as_str(), kept.amr.len()), (claimed.auth_time, "aal2", 3));
        assert!(kept.iat > kept.auth_time);
    }

    async fn one_code_used_64_times_at_once_signs_in_once(engine: TestEngine) {
        let stage = std::sync::Arc::new(stage(engine).await);
        let mut challenges = Vec::new();
        for _ in 0..64 {
            challenges.push(stage.test.challenge(ADA).await);
        }
        let challenges = std::sync::Arc::new(challenges);
        let done = at_once(64, |number| {
            let (stage, challenges) = (stage.clone(), challenges.clone());
            async move { stage.test.meet(&challenges[number], stage.code()).await.is_ok() }
        })
        .await;
        assert_eq!(done.into_iter().filter(|signed_in| *signed_in).count(), 1);
    }

    async fn one_challenge_is_met_once_whatever_is_sent_at_once(engine: TestEngine) {
        let stage = std::sync::Arc::new(stage(engine).await);
        let challenge = stage.test.challenge(ADA).await;
        let done = at_once(5, |number| {
            let (stage, challenge) = (stage.clone(), challenge.clone());
            async move { stage.test.meet(&challenge, stage.recovery(number)).await.is_ok() }
        })
        .await;
        assert_eq!(done.into_iter().filter(|signed_in| *signed_in).count(), 1);
        let actor = stage.test.actor(&stage.tokens).await;
        assert_eq!(stage.test.saas.auth().second_factor(&actor).await.unwrap().recovery_codes_left, 9);
        stage.test.drain_jobs().await;
    }

    async fn a_code_is_good_once_and_not_after_a_later_one(engine: TestEngine) {
        let stage = stage(engine).await;
        let earlier = stage.code();
        assert!(stage.sign_in(stage.code()).await.is_ok());
        let again = stage.sign_in(stage.code()).await;
        assert!(matches!(again, Err(SignInError::InvalidCode)), "{again:?}");
        stage.test.next_code();
        assert!(stage.sign_in(stage.code()).await.is_ok(), "the next one is good");
        let late = stage.sign_in(earlier).await;
        assert!(matches!(late, Err(SignInError::InvalidCode)), "{late:?}");
        // The one that the app was confirmed with was used by that.
        stage.test.clock.advance(Duration::from_mins(5));
        let begun_with = stage.app.code();
        stage.test.next_code();
        assert!(stage.sign_in(FactorProof::Code(begun_with)).await.is_ok(), "the step before counts while it is not used");
    }

    async fn a_recovery_code_is_good_once_under_a_race_and_its_owner_is_told(engine: TestEngine) {
        let stage = std::sync::Arc::new(stage(engine).await);
        let mut challenges = Vec::new();
        for _ in 0..16 {
            challenges.push(stage.test.challenge(ADA).await);
        }
        let challenges = std::sync::Arc::new(challenges);
        let done = at_once(16, |number| {
            let (stage, challenges) = (stage.clone(), challenges.clone());
            async move { stage.test.meet(&challenges[number], stage.recovery(0)).await.ok() }
        })
        .await;
        let signed_in: Vec<Tokens> = done.into_iter().flatten().collect();
        assert_eq!(signed_in.len(), 1);
        assert_eq!(claims(&stage.test, &signed_in[0]).await.amr, ["pwd", "kba", "mfa"]);
        assert_eq!(mails(&stage.test).await, ["factor_added", "recovery_code_used"]);
        let used = ("auth.recovery_code.used".to_owned(), String::new());
        assert_eq!(audited(&stage.test).await.into_iter().filter(|row| *row == used).count(), 1);
        assert!(stage.sign_in(stage.recovery(1)).await.is_ok(), "the others are still good");
        stage.test.drain_jobs().await;
    }

    async fn new_recovery_codes_void_the_old_ones(engine: TestEngine) {
        let mut stage = stage(engine).await;
        let actor = stage.test.actor(&stage.tokens).await;
        let fresh = stage.test.saas.auth().replace_recovery_codes(&actor).await.unwrap();
        assert_eq!(fresh.iter().map(|code| code.expose().clone()).collect::<BTreeSet<_>>().len(), RecoveryCode::COUNT);
        assert!(matches!(stage.sign_in(stage.recovery(0)).await, Err(SignInError::InvalidCode)));
        stage.codes = fresh;
        assert!(stage.sign_in(stage.recovery(0)).await.is_ok());
        stage.test.drain_jobs().await;
    }

    async fn an_app_that_is_not_confirmed_counts_for_nothing_and_can_be_begun_again(engine: TestEngine) {
        let test = TestSaas::start(engine).await;
        let tokens = test.register(ADA).await.tokens;
        let (auth, actor) = (test.saas.auth(), test.actor(&tokens).await);
        let first = auth.enrol_totp(&actor).await.unwrap();
        assert!(first.uri.expose().starts_with("otpauth://totp/SaaS:ada%40example.com?secret="), "{:?}", first.uri.expose());
        assert!(test.sign_in(ADA).await.is_ok(), "no second factor is asked for");
        let second = auth.enrol_totp(&actor).await.unwrap();
        let [first, second] = [first, second].map(|begun| Authenticator::new(begun.secret.expose(), test.clock.clone()));
        let old = auth.confirm_totp(&actor, &first.code()).await;
        assert!(matches!(old, Err(SecondFactorError::InvalidCode)), "{old:?}");
        let added = auth.confirm_totp(&actor, &second.code()).await.unwrap();
        assert_eq!(added.recovery_codes.len(), RecoveryCode::COUNT);
        assert!(test.authenticate(&tokens).await.is_err(), "the session goes on with new tokens");
        let actor = test.actor(&added.tokens).await;
        for again in [auth.confirm_totp(&actor, &second.code()).await.err(), auth.enrol_totp(&actor).await.err()] {
            assert!(matches!(again, Some(SecondFactorError::AlreadyEnrolled)), "{again:?}");
        }
        test.drain_jobs().await;
    }

    async fn who_removes_it_signs_in_by_password_and_is_told(engine: TestEngine) {
        let stage = stage(engine).await;
        let actor = stage.test.actor(&stage.tokens).await;
        stage.test.saas.auth().remove_totp(&actor).await.unwrap();
        assert_eq!(mails(&stage.test).await, ["factor_added", "factor_removed"]);
        let tokens = stage.test.sign_in(ADA).await.unwrap();
        assert_eq!(claims(&stage.test, &tokens).await.acr, "aal1");
        let again = stage.test.saas.auth().remove_totp(&actor).await;
        assert!(matches!(again, Err(SecondFactorError::NotEnrolled)), "{again:?}");
    }

    async fn support_removes_a_lost_one_ends_the_sessions_and_its_owner_is_told(engine: TestEngine) {
        let stage = stage(engine).await;
        let (auth, user) = (stage.test.saas.auth(), stage.tokens.user);
        let ada = stage.test.actor(&stage.tokens).await;
        assert!(matches!(auth.remove_second_factor(&ada, user).await, Err(SecondFactorError::Forbidden)));
        auth.remove_second_factor(&Actor::system("support"), user).await.unwrap();
        assert!(stage.test.authenticate(&stage.tokens).await.is_err());
        assert!(stage.test.refresh(&stage.tokens.refresh_token).await.is_err());
        assert!(stage.test.sign_in(ADA).await.is_ok());
        assert_eq!(mails(&stage.test).await, ["factor_added", "factor_removed"]);
    }

    async fn a_seed_is_stored_encrypted_for_its_user_and_again_under_a_new_key(engine: TestEngine) {
        let stage = stage(engine).await;
        let rows = async || {
            let mut conn = stage.test.saas.storage().read(Reach::Platform("test")).await.unwrap();
            fetch_all!(&mut conn, (Vec<u8>,), "SELECT seed_envelope FROM saas_second_factors").unwrap()
        };
        let (before, operator) = (rows().await, Actor::system("test"));
        stage.test.saas.rotate_data_keys(&operator).await.unwrap();
        stage.test.clock.advance(saas_core::envelope::DataKeys::PUBLISH_DELAY);
        stage.test.saas.reencrypt(&operator).await.unwrap();
        assert_ne!(rows().await, before, "under the new key");
        assert!(stage.sign_in(stage.code()).await.is_ok());

        let bob = stage.test.register("bob@example.com").await.tokens;
        let (theirs, _) = stage.test.add_authenticator(&bob).await;
        // As an attacker would who can write to the database: Ada's row gets Bob's seed.
        assert_eq!(stage.change(
            "UPDATE saas_second_factors SET seed_envelope = (SELECT f.seed_envelope FROM saas_second_factors f JOIN saas_users u ON u.id = f.user_id \
             WHERE u.email = 'bob@example.com') WHERE user_id = (SELECT id FROM saas_users WHERE email = 'ada@example.com')"
        ).await, 1);
        let moved = stage.sign_in(FactorProof::Code(theirs.code())).await;
        assert!(matches!(moved, Err(SignInError::Internal(_))), "{moved:?}");
    }
}
