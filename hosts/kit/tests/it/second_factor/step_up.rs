//! Proving again who one is, within a session.

use std::time::Duration;

use saas_auth::{FactorProof, RevokeError, SecondFactorError, StepUpError, StepUpProof, StepUpRequired};
use saas_core::{Actor, Client, Email, Fault, Secret};
use saas_kit::testing::{PASSWORD, TestSaas, at_once};

use super::{ADA, audited, claims, stage};

const MAX_AGE: Duration = Duration::from_mins(10);

fn password(text: &str) -> StepUpProof {
    StepUpProof::Password(Secret::new(text.to_owned()))
}

on_both_engines! {
    async fn what_is_sensitive_takes_a_proof_of_a_short_time_ago(engine: TestEngine) {
        let test = TestSaas::start(engine).await;
        let tokens = test.register(ADA).await.tokens;
        let (auth, actor) = (test.saas.auth(), test.actor(&tokens).await);
        auth.require_step_up(&actor, MAX_AGE).await.unwrap();
        let nobody = auth.require_step_up(&Actor::anonymous(None, Client::default()), MAX_AGE).await;
        assert!(matches!(nobody, Err(StepUpRequired::Unauthenticated)), "{nobody:?}");
        test.clock.advance(MAX_AGE + Duration::from_secs(1));
        let stale = auth.require_step_up(&actor, MAX_AGE).await;
        assert!(matches!(stale, Err(StepUpRequired::Stale { max_age }) if max_age == MAX_AGE), "{stale:?}");
        let enrolled = auth.enrol_totp(&actor).await;
        assert!(matches!(enrolled, Err(SecondFactorError::StepUp(StepUpRequired::Stale { .. }))), "{enrolled:?}");

        let before = claims(&test, &tokens).await;
        let renewed = auth.step_up(&actor, &password(PASSWORD)).await.unwrap();
        let after = claims(&test, &renewed).await;
        assert_eq!((after.sid, after.auth_time - before.auth_time), (before.sid, 601));
        let actor = test.actor(&renewed).await;
        auth.require_step_up(&actor, MAX_AGE).await.unwrap();
        auth.enrol_totp(&actor).await.unwrap();
        // Of those before it, the access token has ended, and the refresh token once its grace is over (ASVS 7.2.4).
        assert!(test.authenticate(&tokens).await.is_err());
        test.clock.advance(Duration::from_secs(11));
        assert!(test.refresh(&tokens.refresh_token).await.is_err());
    }

    async fn a_session_from_before_it_takes_the_second_factor_too(engine: TestEngine) {
        let test = TestSaas::start(engine).await;
        let before = test.register(ADA).await.tokens;
        let (app, _) = test.add_authenticator(&test.sign_in(ADA).await.unwrap()).await;
        let (auth, actor) = (test.saas.auth(), test.actor(&before).await);
        let removed = auth.remove_totp(&actor).await;
        assert!(matches!(removed, Err(SecondFactorError::StepUp(StepUpRequired::Stale { .. }))), "{removed:?}");
        let by_password = auth.step_up(&actor, &password(PASSWORD)).await;
        assert!(matches!(by_password, Err(StepUpError::SecondFactorNeeded(_))), "{by_password:?}");
        let renewed = auth.step_up(&actor, &StepUpProof::SecondFactor(FactorProof::Code(app.code()))).await.unwrap();
        assert_eq!(claims(&test, &renewed).await.amr, ["pwd", "otp", "mfa"]);
        auth.remove_totp(&test.actor(&renewed).await).await.unwrap();
        test.drain_jobs().await;
    }

    async fn a_session_learns_no_password_by_trying_w39(engine: TestEngine) {
        let test = TestSaas::start(engine).await;
        let tokens = test.register(ADA).await.tokens;
        let actor = test.actor(&tokens).await;
        let (auth, by) = (test.saas.auth().clone(), actor.clone());
        let done = at_once(64, move |_| {
            let (auth, actor) = (auth.clone(), by.clone());
            async move { auth.step_up(&actor, &password("not the password at all")).await.err() }
        })
        .await;
        let compared = done.iter().filter(|error| matches!(error, Some(StepUpError::Refused))).count();
        let exhausted = done.iter().filter(|error| matches!(error, Some(StepUpError::Exhausted))).count();
        assert_eq!((compared, exhausted), (5, 59));
        let right = test.saas.auth().step_up(&actor, &password(PASSWORD)).await;
        assert!(matches!(right, Err(StepUpError::Exhausted)), "{right:?}");
        let refused = ("auth.password.refused".to_owned(), "step_up".to_owned());
        assert_eq!(audited(&test).await.into_iter().filter(|row| *row == refused).count(), 5);
        // Nor does another one: it is the user's password, whichever session asks.
        let actor = test.actor(&test.sign_in(ADA).await.unwrap()).await;
        let held = test.saas.auth().step_up(&actor, &password(PASSWORD)).await;
        assert!(matches!(held, Err(StepUpError::TooOften { .. })), "{held:?}");
        test.clock.advance(Duration::from_hours(2));
        let actor = test.actor(&test.sign_in(ADA).await.unwrap()).await;
        for _ in 0..4 {
            test.saas.auth().step_up(&actor, &password("wrong")).await.unwrap_err();
        }
        test.saas.auth().step_up(&actor, &password(PASSWORD)).await.unwrap();
    }

    async fn what_asks_for_the_password_asks_for_the_second_factor_too(engine: TestEngine) {
        let test = TestSaas::start(engine).await;
        let before = test.register(ADA).await.tokens;
        let (app, _) = test.add_authenticator(&test.sign_in(ADA).await.unwrap()).await;
        let (auth, tenancy, actor) = (test.saas.auth(), test.saas.tenancy(), test.actor(&before).await);
        let [right, new] = [PASSWORD, "another horse battery"].map(|text| Secret::new(text.to_owned()));
        let address = Email::parse("new@example.com").unwrap();
        let refused = [
            auth.request_email_change(&actor, &right, &address).await.err().map(|error| error.report().code),
            auth.change_password(&actor, &right, &new, false).await.err().map(|error| error.report().code),
            tenancy.delete_account(&actor, &right).await.err().map(|error| error.report().code),
        ];
        assert_eq!(refused, [Some("step_up_required"); 3]);
        let tokens = auth.step_up(&actor, &StepUpProof::SecondFactor(FactorProof::Code(app.code()))).await.unwrap();
        let actor = test.actor(&tokens).await;
        auth.request_email_change(&actor, &right, &address).await.unwrap();
        let tokens = auth.change_password(&actor, &right, &new, false).await.unwrap();
        assert_eq!(claims(&test, &tokens).await.amr, ["pwd", "otp", "mfa"], "the new session knows what the old one did");
        let actor = test.actor(&tokens).await;
        test.clock.advance(MAX_AGE + Duration::from_secs(1));
        let late = tenancy.delete_account(&actor, &new).await.err().map(|error| error.report().code);
        assert_eq!(late, Some("step_up_required"));
        let tokens = auth.step_up(&actor, &StepUpProof::SecondFactor(FactorProof::Code(app.code()))).await.unwrap();
        tenancy.delete_account(&test.actor(&tokens).await, &new).await.unwrap();
        test.drain_jobs().await;
    }

    async fn ending_other_sessions_takes_a_fresh_proof_and_ending_this_one_does_not(engine: TestEngine) {
        let test = TestSaas::start(engine).await;
        let other = test.register(ADA).await.tokens;
        let tokens = test.sign_in(ADA).await.unwrap();
        let (auth, actor) = (test.saas.auth(), test.actor(&tokens).await);
        test.clock.advance(MAX_AGE + Duration::from_secs(1));
        for refused in [auth.revoke_session(&actor, other.session).await.err(), auth.logout_all(&actor).await.err()] {
            assert!(matches!(refused, Some(RevokeError::StepUp(StepUpRequired::Stale { .. }))), "{refused:?}");
        }
        let tokens = auth.step_up(&actor, &password(PASSWORD)).await.unwrap();
        let actor = test.actor(&tokens).await;
        auth.revoke_session(&actor, other.session).await.unwrap();
        test.clock.advance(MAX_AGE + Duration::from_secs(1));
        auth.revoke_session(&actor, tokens.session).await.unwrap();
    }

    async fn a_code_steps_up_once_and_is_counted_with_those_at_sign_in(engine: TestEngine) {
        let stage = stage(engine).await;
        let auth = stage.test.saas.auth();
        let actor = stage.test.actor(&stage.tokens).await;
        let code = StepUpProof::SecondFactor(stage.code());
        let tokens = auth.step_up(&actor, &code).await.unwrap();
        let actor = stage.test.actor(&tokens).await;
        let again = auth.step_up(&actor, &code).await;
        assert!(matches!(again, Err(StepUpError::Refused)), "{again:?}");
        for _ in 0..4 {
            assert!(stage.sign_in(stage.wrong()).await.is_err());
        }
        let locked = auth.step_up(&actor, &StepUpProof::SecondFactor(stage.code())).await;
        assert!(matches!(locked, Err(StepUpError::SecondFactorLocked { .. })), "{locked:?}");
        let tokens = auth.step_up(&actor, &StepUpProof::SecondFactor(stage.recovery(0))).await.unwrap();
        assert_eq!(claims(&stage.test, &tokens).await.amr, ["pwd", "otp", "kba", "mfa"]);
        stage.test.drain_jobs().await;
    }

    async fn a_session_that_has_ended_does_not_step_up(engine: TestEngine) {
        let test = TestSaas::start(engine).await;
        let tokens = test.register(ADA).await.tokens;
        let actor = test.actor(&tokens).await;
        test.saas.auth().logout(&actor, &tokens.refresh_token).await.unwrap();
        let ended = test.saas.auth().step_up(&actor, &password(PASSWORD)).await;
        assert!(matches!(ended, Err(StepUpError::Exhausted | StepUpError::SessionEnded)), "{ended:?}");
    }
}
