//! What guessing at codes comes to.

use std::{sync::Arc, time::Duration};

use saas_auth::SignInError;
use saas_kit::testing::at_once;

use super::{ADA, stage};

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
        stage.change("UPDATE saas_second_factors SET failures = 99").await;
        stage.test.clock.advance(Duration::from_hours(1));
        assert!(matches!(stage.sign_in(stage.wrong()).await, Err(SignInError::InvalidCode)));
        stage.test.clock.advance(Duration::from_hours(1_000));
        let right = stage.sign_in(stage.code()).await;
        assert!(matches!(right, Err(SignInError::SecondFactorBlocked)), "{right:?}");
        stage.sign_in(stage.recovery(0)).await.unwrap();
        stage.sign_in(stage.code()).await.unwrap();
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
