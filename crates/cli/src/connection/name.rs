//! Names as they were typed, checked before any request is made.

use lakeferry_model::{BucketName, InstanceName, RoleName, TableName, TaskName, Violation};

use crate::failure::Failure;

/// An instance's name.
pub fn instance(text: &str) -> Result<InstanceName, Failure> {
    InstanceName::parse(text).map_err(|violation| {
        refused(violation).hint("use 1 to 32 letters, digits and hyphens, beginning with a letter")
    })
}

/// A table's name.
pub fn table(text: &str) -> Result<TableName, Failure> {
    TableName::parse(text).map_err(|violation| {
        refused(violation).hint("use letters, digits and underscores, beginning with a letter or underscore")
    })
}

/// The name of a task that may have been made by any client.
pub fn task(text: &str) -> Result<TaskName, Failure> {
    TaskName::parse(text).map_err(refused)
}

/// The name of a task to be made by this program, which keeps to the documented rule.
pub fn new_task(text: &str) -> Result<TaskName, Failure> {
    TaskName::parse_documented(text).map_err(refused)
}

/// A bucket's name.
pub fn bucket(text: &str) -> Result<BucketName, Failure> {
    BucketName::parse(text).map_err(refused)
}

/// A role's name or ARN.
pub fn role(text: &str) -> Result<RoleName, Failure> {
    RoleName::parse(text).map_err(refused)
}

fn refused(violation: Violation) -> Failure {
    Failure::usage(violation.message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_breaks_the_rules_is_refused_with_the_rule() {
        assert!(instance("9lives").unwrap_err().to_string().contains("beginning with a letter"));
        assert!(new_task("taskTest_29").unwrap_err().to_string().contains("3 to 16"));
        assert!(task("taskTest_29").is_ok());
        assert!(!table("a-b").unwrap_err().is_no());
    }
}
