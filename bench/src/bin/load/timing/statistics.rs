//! Whether two samples are of one distribution, as dudect asks it (Reparaz, Balasch, Verbauwhede 2017): by Welch's t, of all times and
//! without the slowest, which say more about the machine.

use crate::report::median;

/// Beyond this, two distributions differ.
pub(super) const T_BOUND: f64 = 4.5;

/// What of both samples together is left out the second time.
const SLOWEST: f64 = 0.1;

/// A class beside the reference.
#[derive(Debug, Clone, Copy)]
pub(super) struct Compared {
    pub(super) median: f64,
    /// Between the medians.
    pub(super) difference: f64,
    pub(super) t: f64,
    pub(super) t_cropped: f64,
}

impl Compared {
    pub(super) fn of(class: &[f64], reference: &[f64]) -> Self {
        let (ours, theirs) = (median(class.to_vec()), median(reference.to_vec()));
        let mut both = [class, reference].concat();
        both.sort_by(f64::total_cmp);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "so many were not measured"
        )]
        let kept = (both.len() as f64 * (1.0 - SLOWEST)) as usize;
        let limit = both.get(kept).copied().unwrap_or(f64::INFINITY);
        let crop = |times: &[f64]| times.iter().copied().filter(|time| *time < limit).collect::<Vec<_>>();
        Self {
            median: ours,
            difference: ours - theirs,
            t: welch(class, reference),
            t_cropped: welch(&crop(class), &crop(reference)),
        }
    }
}

/// Mean, and the variance of the mean.
#[expect(clippy::cast_precision_loss, reason = "so many were not measured")]
fn mean(times: &[f64]) -> (f64, f64) {
    let count = times.len() as f64;
    let mean = times.iter().sum::<f64>() / count;
    let variance = times.iter().map(|time| (time - mean).powi(2)).sum::<f64>() / (count - 1.0);
    (mean, variance / count)
}

fn welch(one: &[f64], other: &[f64]) -> f64 {
    let ((mean_one, spread_one), (mean_other, spread_other)) = (mean(one), mean(other));
    (mean_one - mean_other) / (spread_one + spread_other).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Times around a middle, always the same.
    fn times(middle: f64, salt: u64) -> Vec<f64> {
        let mut state = salt;
        let next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            f64::from(u32::try_from(state >> 40).unwrap_or_default()) / f64::from(1_u32 << 24)
        };
        std::iter::repeat_with(next).take(2000).map(|noise| middle + noise * 0.001).collect()
    }

    #[test]
    fn welchs_t_is_that_of_an_example_worked_by_hand() {
        // Means 3 and 6, variances 2.5 and 10, five of each: -3 / sqrt(0.5 + 2).
        let t = welch(&[1.0, 2.0, 3.0, 4.0, 5.0], &[2.0, 4.0, 6.0, 8.0, 10.0]);
        assert!((t + 3.0 / 2.5_f64.sqrt()).abs() < 1e-12, "{t}");
    }

    #[test]
    fn what_is_alike_is_not_told_apart_and_a_hundredth_of_a_hash_is() {
        let alike = Compared::of(&times(0.05, 1), &times(0.05, 2));
        assert!(alike.t.abs() < T_BOUND && alike.t_cropped.abs() < T_BOUND, "{alike:?}");
        let slower = Compared::of(&times(0.0505, 1), &times(0.05, 2));
        assert!(slower.t > T_BOUND && slower.t_cropped > T_BOUND, "{slower:?}");
        assert!((slower.difference - 0.0005).abs() < 0.0001, "{slower:?}");
    }

    #[test]
    fn a_few_slow_ones_do_not_hide_a_difference() {
        let mut slower = times(0.0502, 1);
        for time in slower.iter_mut().step_by(20) {
            *time += 0.2;
        }
        let mut reference = times(0.05, 2);
        for time in reference.iter_mut().step_by(19) {
            *time += 0.2;
        }
        let compared = Compared::of(&slower, &reference);
        assert!(compared.t.abs() < T_BOUND && compared.t_cropped > T_BOUND, "{compared:?}");
    }
}
