//! How channels are shared out among clients. Pure: it touches no store.

use std::collections::BTreeMap;

/// How many of `channels` a client should hold, when each client holds as many as `held` says.
///
/// Shares differ by one at most. Whoever holds most keeps the larger ones, so that nothing moves that need not.
pub(super) fn share<C: Ord>(held: &BTreeMap<C, usize>, client: &C, channels: usize) -> usize {
    let Some(own) = held.get(client) else { return 0 };
    let (least, larger) = (channels / held.len(), channels % held.len());
    let before = held.iter().filter(|(other, count)| *count > own || (*count == own && *other < client));
    least + usize::from(before.count() < larger)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Lets every client give back and take, one after the other, until nothing moves any more.
    fn settle(held: &mut BTreeMap<usize, usize>, channels: usize) -> usize {
        let mut moves = 0;
        for _ in 0..3 {
            for client in held.clone().into_keys() {
                let target = share(held, &client, channels);
                let free = channels - held.values().sum::<usize>();
                let own = held.get_mut(&client).unwrap();
                let taken = (*own + free).min(target);
                moves += own.saturating_sub(taken);
                *own = taken;
            }
        }
        moves
    }

    #[test]
    fn shares_differ_by_one_at_most() {
        let mut held = BTreeMap::from([(1, 4), (2, 0), (3, 0)]);
        settle(&mut held, 4);
        assert_eq!(held, BTreeMap::from([(1, 2), (2, 1), (3, 1)]));
    }

    #[test]
    fn somebody_who_is_not_there_has_no_share() {
        assert_eq!(share(&BTreeMap::from([(1, 0)]), &2, 4), 0);
    }

    proptest! {
        #[test]
        fn everything_is_given_out_evenly_and_then_nothing_moves(
            counts in prop::collection::vec(0_usize..6, 1..6),
            free in 0_usize..6,
        ) {
            let mut held: BTreeMap<usize, usize> = counts.into_iter().enumerate().collect();
            let channels = held.values().sum::<usize>() + free;
            settle(&mut held, channels);
            prop_assert_eq!(held.values().sum::<usize>(), channels);
            let (least, most) = (held.values().min().unwrap(), held.values().max().unwrap());
            prop_assert!(most - least <= 1, "{:?}", held);
            prop_assert_eq!(settle(&mut held.clone(), channels), 0);
        }
    }
}
