//! What guessing at codes comes to.

use std::{sync::Arc, time::Duration};

use saas_auth::{GuessKind, SignIn, SignInError};
use saas_core::{Actor, Client, Email, Secret};
use saas_kit::testing::at_once;

use super::{ADA, admission::challenge_for, audited, stage};

const NEW: &str = "another horse battery";

on_both_engines! {
    async fn a_challenge_is_good_for_five_codes(engine: TestEngine) {
        let stage = stage(engine).await;
        let challenge = stage.test.challenge(ADA).await;
        for _ in 0..5 {
            let wrong = stage.test.meet(&challenge, stage.wrong()).await;
            assert!(matches!(wrong, Err(SignInError::InvalidCode)), "{wrong:?}");
        }
        let sixth = stage.test.meet(&challenge, stage.recovery(0)).await;
        assert!(matches!(sixth, Err(SignInError::InvalidChallenge)), "{sixth:?}");
    }

    async fn of_64_wrong_codes_at_once_five_are_compared_and_the_right_one_waits(engine: TestEngine) {
        let stage = Arc::new(stage(engine).await);
        let mut challenges = Vec::new();
        for _ in 0..64 {
            challenges.push(stage.test.challenge(ADA).await);
        }
        let challenges = Arc::new(challenges);
        let done = at_once(64, |number| {
            let (stage, challenges) = (stage.clone(), challenges.clone());
            async move { stage.test.meet(&challenges[number], stage.wrong()).await.err() }
        })
        .await;
        let compared = done.iter().filter(|error| matches!(error, Some(SignInError::InvalidCode))).count();
        let locked = done.iter().filter(|error| matches!(error, Some(SignInError::SecondFactorLocked { .. }))).count();
        assert_eq!((compared, locked), (5, 59));
        let right = stage.sign_in(stage.code()).await;
        assert!(
            matches!(right, Err(SignInError::SecondFactorLocked { retry_after }) if retry_after == Duration::from_secs(30)),
            "{right:?}"
        );
        // The owner is not kept out by whoever guesses: that is what recovery codes are for, and they end it.
        stage.sign_in(stage.recovery(0)).await.unwrap();
        stage.sign_in(stage.code()).await.unwrap();
        stage.test.drain_jobs().await;
    }

    async fn waits_grow_and_a_hundred_wrong_codes_end_it_but_for_a_recovery_code(engine: TestEngine) {
        let stage = stage(engine).await;
        for _ in 0..5 {
            assert!(matches!(stage.sign_in(stage.wrong()).await, Err(SignInError::InvalidCode)));
        }
        for wait in [30, 60, 120] {
            let early = stage.sign_in(stage.wrong()).await;
            let expected = Duration::from_secs(wait);
            assert!(matches!(early, Err(SignInError::SecondFactorLocked { retry_after }) if retry_after == expected), "{early:?}");
            stage.test.clock.advance(expected);
            assert!(matches!(stage.sign_in(stage.wrong()).await, Err(SignInError::InvalidCode)));
        }
        assert_eq!(stage.change("UPDATE saas_sign_in_guesses SET consecutive = 99 WHERE kind = 'second_factor'").await, 1);
        stage.test.clock.advance(Duration::from_hours(1));
        assert!(matches!(stage.sign_in(stage.wrong()).await, Err(SignInError::InvalidCode)));
        stage.test.clock.advance(Duration::from_hours(1_000));
        let right = stage.sign_in(stage.code()).await;
        assert!(matches!(right, Err(SignInError::SecondFactorBlocked)), "{right:?}");
        stage.sign_in(stage.recovery(0)).await.unwrap();
        stage.sign_in(stage.code()).await.unwrap();
        stage.test.drain_jobs().await;
    }

    async fn wrong_codes_lock_no_password_and_wrong_passwords_no_codes(engine: TestEngine) {
        let stage = stage(engine).await;
        for _ in 0..5 {
            assert!(matches!(stage.sign_in(stage.wrong()).await, Err(SignInError::InvalidCode)));
        }
        // The password still gets a challenge: it is the codes that wait.
        let challenge = stage.test.challenge(ADA).await;
        assert!(matches!(stage.test.meet(&challenge, stage.code()).await, Err(SignInError::SecondFactorLocked { .. })));
        let kinds = async || {
            let guesses = stage.test.saas.auth().guesses(&Actor::system("test"), stage.tokens.user).await.unwrap();
            guesses.into_iter().map(|count| (count.kind, count.failures, count.locked.is_some())).collect::<Vec<_>>()
        };
        assert_eq!(kinds().await, [(GuessKind::SecondFactor, 5, true)]);
        let locked = ("auth.account.locked".to_owned(), "second_factor".to_owned());
        assert!(audited(&stage.test).await.contains(&locked));
        let challenge = stage.test.challenge(ADA).await;
        let wrong = Secret::new("not the password at all".to_owned());
        for _ in 0..6 {
            let command = SignIn::new(Email::parse(ADA).unwrap(), wrong.clone());
            stage.test.saas.auth().sign_in(&Actor::anonymous(None, Client::default()), command).await.unwrap_err();
        }
        stage.test.clock.advance(Duration::from_secs(30));
        stage.test.meet(&challenge, stage.code()).await.unwrap();
        assert_eq!(kinds().await, [(GuessKind::Account, 5, false)]);
        stage.test.drain_jobs().await;
    }

    async fn an_operator_unlocks_codes_and_a_reset_by_mail_does_not(engine: TestEngine) {
        let stage = stage(engine).await;
        let auth = stage.test.saas.auth();
        for _ in 0..5 {
            assert!(matches!(stage.sign_in(stage.wrong()).await, Err(SignInError::InvalidCode)));
        }
        let nobody = Actor::anonymous(None, Client::default());
        auth.forgot_password(&nobody, &Email::parse(ADA).unwrap()).await.unwrap();
        let mail = stage.test.mail.wait_for(|mail| mail.template == "password_reset").await;
        let token = mail.variables.into_iter().find(|(name, _)| *name == "token").unwrap().1;
        auth.reset_password(&nobody, &Secret::new(token), &Secret::new(NEW.to_owned())).await.unwrap();
        let challenge = challenge_for(&stage.test, &Secret::new(NEW.to_owned())).await;
        let met = stage.test.meet(&challenge, stage.code()).await;
        assert!(matches!(met, Err(SignInError::SecondFactorLocked { .. })), "{met:?}");
        assert!(auth.unlock_user(&Actor::system("test"), stage.tokens.user).await.unwrap());
        stage.test.meet(&challenge, stage.code()).await.unwrap();
        stage.test.drain_jobs().await;
    }

    async fn a_right_code_ends_the_count(engine: TestEngine) {
        let stage = stage(engine).await;
        for _ in 0..3 {
            for _ in 0..4 {
                assert!(matches!(stage.sign_in(stage.wrong()).await, Err(SignInError::InvalidCode)));
            }
            assert!(stage.sign_in(stage.code()).await.is_ok());
            stage.test.next_code();
        }
    }
}
