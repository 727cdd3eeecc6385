//! Quoting, so that a command works as it is printed.

/// A text literal of SQL.
pub fn sql(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// One word of a POSIX shell, in double quotes, since SQL is full of single ones.
pub fn shell(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for c in text.chars() {
        if matches!(c, '"' | '\\' | '$' | '`') {
            quoted.push('\\');
        }
        quoted.push(c);
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quoted_word_reaches_the_program_unchanged() {
        for text in ["plain", "it's", "a \"b\" $HOME `id` \\ end", "select \"$sequence\""] {
            let script = format!("printf %s {}", shell(text));
            let output = std::process::Command::new("sh").arg("-c").arg(script).output().unwrap();
            assert_eq!(String::from_utf8(output.stdout).unwrap(), text);
        }
    }

    #[test]
    fn a_quote_within_sql_text_is_doubled() {
        assert_eq!(sql("it's"), "'it''s'");
    }
}
