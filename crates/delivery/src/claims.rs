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

/// All claims.
#[derive(Debug, Default)]
pub(crate) struct Claims(Mutex<HashMap<TaskId, Claim>>);

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
    /// Notes a claim in place of the task's earlier one, unless another task's stands against it.
    pub(crate) fn claim(&self, task: TaskId, claim: Claim) -> Result<(), Trouble> {
        let mut claims = self.0.lock();
        let other = claims.iter().find(|(id, other)| **id != task && other.may_share_names(&claim));
        if let Some((_, other)) = other {
            return Err(Trouble::InvalidBucket(format!(
                "bucket '{}' is the same place as bucket '{}', where task '{}' of table '{}' delivers under the \
                 same names; delete this task and make one with another name or prefix",
                claim.bucket, other.bucket, other.task, other.table
            )));
        }
        claims.insert(task, claim);
        Ok(())
    }

    /// Lets the task's names go.
    pub(crate) fn release(&self, task: TaskId) {
        self.0.lock().remove(&task);
    }

    /// The task whose names a new one of this name, prefix and bucket would share, as far as places are known.
    pub(crate) fn find(&self, task: &TaskName, prefix: &Prefix, bucket: &BucketName) -> Option<Claim> {
        let claims = self.0.lock();
        let identity = claims.values().find(|claim| claim.bucket == *bucket)?.identity;
        let shares = |claim: &&Claim| {
            claim.identity == identity && claim.task == *task && claim.prefix.may_share_folder(prefix)
        };
        claims.values().find(shares).cloned()
    }
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
            claims.find(&name, &Prefix::parse(prefix).unwrap(), &BucketName::parse(bucket).unwrap()).is_some()
        };
        assert!(found("alias", "p/2031") && !found("alias", "r") && !found("unknown", "p/2031"));
        claims.release(first);
        claims.claim(second, claim("alias", "one", "p/2031", 1)).unwrap();
    }
}
