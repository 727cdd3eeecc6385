//! Which task delivers where, by what the places say of themselves.
//!
//! Two entries of the bucket table may mean one place in one store. Names do not tell, the identity object in the
//! bucket does: a task claims its names there before its first cut, and one that would share them waits.

use std::collections::HashMap;

use lakeferry_lake::Prefix;
use lakeferry_model::{BucketName, TableName, TaskName};
use parking_lot::Mutex;
use uuid::Uuid;

use crate::space::TaskId;
use crate::trouble::Trouble;

/// All claims. A task has several while it waits to deliver elsewhere: its names where it does, and where it will.
#[derive(Debug, Default)]
pub(crate) struct Claims(Mutex<HashMap<TaskId, Vec<Claim>>>);

/// The names that a task uses in a place.
#[derive(Debug, Clone)]
pub(crate) struct Claim {
    pub(crate) table: TableName,
    pub(crate) task: TaskName,
    pub(crate) prefix: Prefix,
    /// The entry by which the task knows the place.
    pub(crate) bucket: BucketName,
    pub(crate) identity: Uuid,
}

impl Claim {
    fn may_share_names(&self, other: &Self) -> bool {
        self.identity == other.identity
            && self.task == other.task
            && self.prefix.may_share_folder(&other.prefix)
    }
}

impl Claims {
    /// Notes a claim in place of the task's earlier ones, unless another task's stands against it.
    pub(crate) fn claim(&self, task: TaskId, claim: Claim) -> Result<(), Trouble> {
        let mut claims = self.0.lock();
        check(&claims, task, &claim)?;
        claims.insert(task, vec![claim]);
        Ok(())
    }

    /// Notes a claim beside the one that the task has, unless another task's stands against it.
    pub(crate) fn reserve(&self, task: TaskId, claim: Claim) -> Result<(), Trouble> {
        let mut claims = self.0.lock();
        check(&claims, task, &claim)?;
        let own = claims.entry(task).or_default();
        // The first one is in force.
        own.truncate(1);
        own.push(claim);
        Ok(())
    }

    /// Lets the names go that the task has beside those in force.
    pub(crate) fn unreserve(&self, task: TaskId) {
        if let Some(own) = self.0.lock().get_mut(&task) {
            own.truncate(1);
        }
    }

    /// The identity of the place that an entry of the bucket table means, as far as it is known.
    pub(crate) fn identity_of(&self, bucket: &BucketName) -> Option<Uuid> {
        let claims = self.0.lock();
        claims.values().flatten().find(|claim| claim.bucket == *bucket).map(|claim| claim.identity)
    }

    /// Lets the task's names go.
    pub(crate) fn release(&self, task: TaskId) {
        self.0.lock().remove(&task);
    }

    /// The task, other than `own`, whose names one of this name, prefix and bucket would share, as far as places are
    /// known.
    pub(crate) fn find(
        &self,
        own: Option<TaskId>,
        task: &TaskName,
        prefix: &Prefix,
        bucket: &BucketName,
    ) -> Option<Claim> {
        let identity = self.identity_of(bucket)?;
        let shares = |claim: &&Claim| {
            claim.identity == identity && claim.task == *task && claim.prefix.may_share_folder(prefix)
        };
        let claims = self.0.lock();
        let others = claims.iter().filter(|(id, _)| Some(**id) != own);
        others.flat_map(|(_, claims)| claims).find(shares).cloned()
    }
}

fn check(claims: &HashMap<TaskId, Vec<Claim>>, task: TaskId, claim: &Claim) -> Result<(), Trouble> {
    let others = claims.iter().filter(|(id, _)| **id != task).flat_map(|(_, claims)| claims);
    let Some(other) = others.into_iter().find(|other| other.may_share_names(claim)) else { return Ok(()) };
    Err(Trouble::InvalidBucket(format!(
        "bucket '{}' is the same place as bucket '{}', where task '{}' of table '{}' delivers under the \
         same names; update this task to another prefix or bucket, or delete it and make one with another name",
        claim.bucket, other.bucket, other.task, other.table
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claim(bucket: &str, task: &str, prefix: &str, identity: u128) -> Claim {
        Claim {
            table: TableName::parse("t").unwrap(),
            task: TaskName::parse(task).unwrap(),
            prefix: Prefix::parse(prefix).unwrap(),
            bucket: BucketName::parse(bucket).unwrap(),
            identity: Uuid::from_u128(identity),
        }
    }

    #[test]
    fn names_in_one_place_are_claimed_once_whatever_it_is_called() {
        let claims = Claims::default();
        let (first, second) = (TaskId::random(), TaskId::random());
        claims.claim(first, claim("lake", "one", "p/$yyyy", 1)).unwrap();
        claims.claim(first, claim("lake", "one", "p/$yyyy", 1)).unwrap();
        let refused = claims.claim(second, claim("alias", "one", "p/2031", 1)).unwrap_err();
        assert!(refused.text().contains("'lake'"), "{}", refused.text());
        for free in [
            claim("alias", "two", "p/2031", 1),
            claim("alias", "one", "q", 1),
            claim("alias", "one", "p/2031", 2),
        ] {
            claims.claim(second, free).unwrap();
        }
        claims.claim(second, claim("alias", "one", "q", 1)).unwrap();
        let name = TaskName::parse("one").unwrap();
        let found = |bucket, prefix| {
            claims
                .find(None, &name, &Prefix::parse(prefix).unwrap(), &BucketName::parse(bucket).unwrap())
                .is_some()
        };
        assert!(found("alias", "p/2031") && !found("alias", "r") && !found("unknown", "p/2031"));
        claims.release(first);
        claims.claim(second, claim("alias", "one", "p/2031", 1)).unwrap();
    }

    #[test]
    fn a_task_that_moves_keeps_its_names_until_it_has_those_it_moves_to() {
        let claims = Claims::default();
        let (moving, other) = (TaskId::random(), TaskId::random());
        claims.claim(moving, claim("lake", "one", "old", 1)).unwrap();
        claims.reserve(moving, claim("lake", "one", "new", 1)).unwrap();
        claims.reserve(moving, claim("lake", "one", "newer", 1)).unwrap();
        assert!(claims.claim(other, claim("alias", "one", "old", 1)).is_err());
        assert!(claims.claim(other, claim("alias", "one", "newer", 1)).is_err());
        claims.claim(other, claim("alias", "one", "new", 1)).unwrap();
        assert!(claims.reserve(moving, claim("lake", "one", "new", 1)).is_err());
        claims.claim(moving, claim("lake", "one", "newer", 1)).unwrap();
        claims.claim(other, claim("alias", "one", "old", 1)).unwrap();
        let (name, lake) = (TaskName::parse("one").unwrap(), BucketName::parse("lake").unwrap());
        let newer = Prefix::parse("newer").unwrap();
        assert!(claims.find(None, &name, &newer, &lake).is_some());
        assert!(claims.find(Some(moving), &name, &newer, &lake).is_none());
        claims.reserve(moving, claim("lake", "one", "newest", 1)).unwrap();
        claims.unreserve(moving);
        claims.claim(other, claim("alias", "one", "newest", 1)).unwrap();
        assert!(claims.claim(other, claim("alias", "one", "newer", 1)).is_err());
    }
}
