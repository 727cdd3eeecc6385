//! A change of a task's specification, as a JSON merge patch (RFC 7396): what is named is replaced, null stands
//! for the default (of tuning: the server's, as for a new task), the rest stays. A schema is replaced as a whole;
//! `add_columns` are put behind its columns.

use lakeferry_model::Violation;
use lakeferry_model::delivery::{Field, SchemaSpec, TaskSpec, Tuning};
use serde_json::{Map, Value};

/// The specification with the patch applied; `defaults` stand where the tuning is null.
///
/// # Errors
/// The patch is no object, names something that there is not, or gives it a value that it cannot have.
pub fn patched(spec: &TaskSpec, patch: Value, defaults: &Tuning) -> Result<TaskSpec, Violation> {
    let Value::Object(mut patch) = patch else {
        return Err(Violation::parameter("A change of a delivery task is a JSON object."));
    };
    let added = patch.remove("add_columns");
    if let Some(tuning) = patch.get_mut("tuning") {
        fill(tuning, serde_json::to_value(defaults).map_err(unreadable)?);
    }
    let mut spec = merged(spec, patch)?;
    if let Some(added) = added.filter(|added| !added.is_null()) {
        let added: Vec<Field> = serde_json::from_value(added).map_err(unreadable)?;
        add_columns(&mut spec, added)?;
    }
    Ok(spec)
}

/// Puts defaults where there is null.
fn fill(patch: &mut Value, defaults: Value) {
    match (patch, defaults) {
        (patch @ Value::Null, defaults) => *patch = defaults,
        (Value::Object(patch), Value::Object(mut defaults)) => {
            for (name, value) in patch.iter_mut().filter(|(_, value)| value.is_null()) {
                *value = defaults.remove(name).unwrap_or_default();
            }
        }
        _ => {}
    }
}

fn merged(spec: &TaskSpec, mut patch: Map<String, Value>) -> Result<TaskSpec, Violation> {
    let mut value = serde_json::to_value(spec).map_err(unreadable)?;
    if let (Some(schema), Some(present)) = (patch.remove("schema"), value.get_mut("schema"))
        && !schema.is_null()
    {
        *present = schema;
    }
    merge(&mut value, Value::Object(patch.clone()));
    let spec: TaskSpec = serde_json::from_value(value).map_err(unreadable)?;
    let known = serde_json::to_value(&spec).map_err(unreadable)?;
    match unknown(&known, &Value::Object(patch)) {
        Some(name) => Err(Violation::parameter(format!("A delivery task has no '{name}'."))),
        None => Ok(spec),
    }
}

fn add_columns(spec: &mut TaskSpec, added: Vec<Field>) -> Result<(), Violation> {
    let SchemaSpec::Manual(fields) = &mut spec.schema else {
        return Err(Violation::parameter(
            "The task's columns are those of its rows: new ones join by themselves, up to the server's \
             delivery.automatic_columns. To choose among more, give it columns of its own.",
        ));
    };
    fields.extend(added);
    Ok(())
}

fn merge(target: &mut Value, patch: Value) {
    let Value::Object(patch) = patch else {
        *target = patch;
        return;
    };
    if !target.is_object() {
        *target = Value::Object(Map::new());
    }
    let Value::Object(target) = target else { return };
    for (name, value) in patch {
        if value.is_null() {
            target.remove(&name);
        } else {
            merge(target.entry(name).or_insert(Value::Null), value);
        }
    }
}

/// The first name that the patch sets and the specification does not have.
fn unknown(known: &Value, patch: &Value) -> Option<String> {
    let (Value::Object(known), Value::Object(patch)) = (known, patch) else { return None };
    patch.iter().filter(|(_, value)| !value.is_null()).find_map(|(name, value)| match known.get(name) {
        None => Some(name.clone()),
        Some(known) => unknown(known, value),
    })
}

#[expect(clippy::needless_pass_by_value, reason = "errors are mapped by value")]
fn unreadable(error: serde_json::Error) -> Violation {
    Violation::parameter(format!("The change of the delivery task cannot be read: {error}."))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn patched(spec: &TaskSpec, patch: Value) -> Result<TaskSpec, Violation> {
        super::patched(spec, patch, &Tuning { object_age_ms_max: 7, ..Tuning::default() })
    }

    fn spec() -> TaskSpec {
        serde_json::from_value(json!({
            "name": "orders-lake",
            "mode": "BASE_INC",
            "destination": {
                "bucket": "lake", "endpoint": "local", "role": "r", "prefix": "orders",
                "event_time": null, "zone": "Asia/Shanghai",
            },
            "schema": { "manual": [{ "source": "id", "target": "id", "kind": "INT64" }] },
            "tuning": { "dirty_fields_max": 5 },
        }))
        .unwrap()
    }

    #[test]
    fn what_is_named_is_replaced_and_null_is_the_default() {
        let change = json!({
            "destination": { "prefix": "o", "zone": null, "dirty_prefix": "bad", "event_time": { "column": "at", "format": "UNIX" } },
            "tuning": { "dirty_fields_max": null, "object_age_ms_max": 1 },
        });
        let changed = patched(&spec(), change).unwrap();
        let to = &changed.destination;
        assert_eq!((to.prefix.as_str(), to.zone.as_str(), to.bucket.as_str()), ("o", "UTC", "lake"));
        assert_eq!(to.dirty_prefix.as_deref(), Some("bad"));
        assert_eq!(to.event_time.as_ref().unwrap().column, "at");
        assert_eq!((changed.tuning.dirty_fields_max, changed.tuning.object_age_ms_max), (None, 1));
        assert_eq!(changed.schema, spec().schema);
    }

    #[test]
    fn tuning_that_is_null_is_the_servers_default() {
        let quick = patched(&spec(), json!({ "tuning": { "object_age_ms_max": 1 } })).unwrap();
        assert_eq!((quick.tuning.object_age_ms_max, quick.tuning.dirty_fields_max), (1, Some(5)));
        let usual = patched(&quick, json!({ "tuning": { "object_age_ms_max": null } })).unwrap();
        assert_eq!((usual.tuning.object_age_ms_max, usual.tuning.dirty_fields_max), (7, Some(5)));
        let usual = patched(&quick, json!({ "tuning": null })).unwrap();
        assert_eq!((usual.tuning.object_age_ms_max, usual.tuning.dirty_fields_max), (7, None));
    }

    #[test]
    fn a_schema_is_replaced_as_a_whole_and_columns_join_it() {
        let automatic = patched(&spec(), json!({ "schema": { "automatic": { "reserved": true } } })).unwrap();
        assert_eq!(automatic.schema, SchemaSpec::Automatic { reserved: true });
        let column = json!({ "add_columns": [{ "source": "v", "target": "v", "kind": "UTF8" }] });
        let SchemaSpec::Manual(fields) = patched(&spec(), column.clone()).unwrap().schema else {
            panic!("the schema stays one of columns by name")
        };
        assert_eq!((fields.len(), fields[1].source.as_str()), (2, "v"));
        assert!(patched(&automatic, column).unwrap_err().message.contains("by themselves"));
    }

    #[test]
    fn what_there_is_not_is_refused_by_name() {
        for (change, name) in [
            (json!({ "colour": 1 }), "'colour'"),
            (json!({ "destination": { "folder": "x" } }), "'folder'"),
            (json!({ "tuning": { "lane_min": 3 } }), "'lane_min'"),
            (json!({ "tuning": { "lanes_min": "x" } }), "invalid type"),
            (json!([]), "JSON object"),
        ] {
            let message = patched(&spec(), change).unwrap_err().message;
            assert!(message.contains(name), "{message}");
        }
    }
}
