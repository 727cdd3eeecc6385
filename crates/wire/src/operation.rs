//! Every action that the official SDKs know, and how far it is served here. The parity table is made from this
//! list.

use std::fmt;

/// What the actions of a group are about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Group {
    /// Making, changing and removing tables.
    Table,
    /// Defined columns and secondary indexes.
    Index,
    /// Reading and writing rows.
    Row,
    /// Local transactions.
    Transaction,
    /// Reading a table's change log.
    Stream,
    /// Ferrying tables into the lake.
    Delivery,
    /// SQL.
    Sql,
    /// The tunnel service.
    Tunnel,
    /// Search indexes.
    Search,
    /// Timeseries tables.
    Timeseries,
    /// Global tables.
    GlobalTable,
    /// Messages exist, but no client calls them.
    SchemaOnly,
}

impl fmt::Display for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Table => "Tables",
            Self::Index => "Columns and indexes",
            Self::Row => "Rows",
            Self::Transaction => "Transactions",
            Self::Stream => "Streams",
            Self::Delivery => "Delivery",
            Self::Sql => "SQL",
            Self::Tunnel => "Tunnels",
            Self::Search => "Search indexes",
            Self::Timeseries => "Timeseries",
            Self::GlobalTable => "Global tables",
            Self::SchemaOnly => "Called by no client",
        })
    }
}

/// How far an action is served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Support {
    /// It does what the protocol says.
    Served,
    /// It answers that there is nothing, because clients call it in passing and must not fail.
    AnswersEmpty,
    /// It is refused; this says the nearest alternative.
    Refused(&'static str),
}

macro_rules! operations {
    ($($name:ident, $path:literal, $group:ident, $support:expr;)*) => {
        /// An action of the protocol.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[expect(missing_docs, reason = "the protocol's own names")]
        pub enum Operation { $($name,)* }

        impl Operation {
            /// All actions, group by group.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// The path it is posted to, with its leading slash. Case matters.
            pub fn path(self) -> &'static str {
                match self { $(Self::$name => $path,)* }
            }

            /// The action posted to this path.
            pub fn from_path(path: &str) -> Option<Self> {
                match path { $($path => Some(Self::$name),)* _ => None }
            }

            /// What it is about.
            pub fn group(self) -> Group {
                match self { $(Self::$name => Group::$group,)* }
            }

            /// How far it is served.
            pub fn support(self) -> Support {
                match self { $(Self::$name => $support,)* }
            }
        }
    };
}

use Support::{AnswersEmpty, Refused, Served};

const BY_DELIVERY: Support = Refused("deliver the table with CreateDeliveryTask and read its objects");
const BY_RPO: Support = Refused("use /tunnel/getrpo");
const NO_SEARCH: Support =
    Refused("use GetRange, or deliver the table with CreateDeliveryTask and query its objects");
const NO_TIMESERIES: Support = Refused("use a table whose primary key ends in the time");
const NO_GLOBAL_TABLES: Support = Refused("use a table of one instance");
const ALWAYS_LOADED: Support = Refused("tables are always loaded");

operations! {
    CreateTable, "/CreateTable", Table, Served;
    ListTable, "/ListTable", Table, Served;
    DescribeTable, "/DescribeTable", Table, Served;
    UpdateTable, "/UpdateTable", Table, Served;
    DeleteTable, "/DeleteTable", Table, Served;
    ComputeSplitPointsBySize, "/ComputeSplitPointsBySize", Table, Served;
    AddDefinedColumn, "/AddDefinedColumn", Index, Served;
    DeleteDefinedColumn, "/DeleteDefinedColumn", Index, Served;
    CreateIndex, "/CreateIndex", Index, Served;
    DropIndex, "/DropIndex", Index, Served;
    GetRow, "/GetRow", Row, Served;
    PutRow, "/PutRow", Row, Served;
    UpdateRow, "/UpdateRow", Row, Served;
    DeleteRow, "/DeleteRow", Row, Served;
    BatchGetRow, "/BatchGetRow", Row, Served;
    BatchWriteRow, "/BatchWriteRow", Row, Served;
    GetRange, "/GetRange", Row, Served;
    BulkImport, "/BulkImport", Row, Served;
    BulkExport, "/BulkExport", Row, Served;
    StartLocalTransaction, "/StartLocalTransaction", Transaction, Served;
    CommitTransaction, "/CommitTransaction", Transaction, Served;
    AbortTransaction, "/AbortTransaction", Transaction, Served;
    ListStream, "/ListStream", Stream, Served;
    DescribeStream, "/DescribeStream", Stream, Served;
    GetShardIterator, "/GetShardIterator", Stream, Served;
    GetStreamRecord, "/GetStreamRecord", Stream, Served;
    CreateDeliveryTask, "/CreateDeliveryTask", Delivery, Served;
    DeleteDeliveryTask, "/DeleteDeliveryTask", Delivery, Served;
    DescribeDeliveryTask, "/DescribeDeliveryTask", Delivery, Served;
    ListDeliveryTask, "/ListDeliveryTask", Delivery, Served;
    UpdateDeliveryTask, "/UpdateDeliveryTask", Delivery, Served;
    SqlQuery, "/SQLQuery", Sql, BY_DELIVERY;
    TunnelCreate, "/tunnel/create", Tunnel, Served;
    TunnelDelete, "/tunnel/delete", Tunnel, Served;
    TunnelList, "/tunnel/list", Tunnel, Served;
    TunnelDescribe, "/tunnel/describe", Tunnel, Served;
    TunnelConnect, "/tunnel/connect", Tunnel, Served;
    TunnelHeartbeat, "/tunnel/heartbeat", Tunnel, Served;
    TunnelShutdown, "/tunnel/shutdown", Tunnel, Served;
    TunnelGetCheckpoint, "/tunnel/getcheckpoint", Tunnel, Served;
    TunnelReadRecords, "/tunnel/readrecords", Tunnel, Served;
    TunnelCheckpoint, "/tunnel/checkpoint", Tunnel, Served;
    TunnelGetRpo, "/tunnel/getrpo", Tunnel, Served;
    TunnelGetRpoByOffset, "/tunnel/getrpobyoffset", Tunnel, BY_RPO;
    TunnelSchedule, "/tunnel/schedule", Tunnel, Served;
    CreateSearchIndex, "/CreateSearchIndex", Search, NO_SEARCH;
    UpdateSearchIndex, "/UpdateSearchIndex", Search, NO_SEARCH;
    DeleteSearchIndex, "/DeleteSearchIndex", Search, NO_SEARCH;
    ListSearchIndex, "/ListSearchIndex", Search, AnswersEmpty;
    DescribeSearchIndex, "/DescribeSearchIndex", Search, NO_SEARCH;
    Search, "/Search", Search, NO_SEARCH;
    ParallelScan, "/ParallelScan", Search, NO_SEARCH;
    ComputeSplits, "/ComputeSplits", Search, NO_SEARCH;
    CreateTimeseriesTable, "/CreateTimeseriesTable", Timeseries, NO_TIMESERIES;
    ListTimeseriesTable, "/ListTimeseriesTable", Timeseries, AnswersEmpty;
    DescribeTimeseriesTable, "/DescribeTimeseriesTable", Timeseries, NO_TIMESERIES;
    UpdateTimeseriesTable, "/UpdateTimeseriesTable", Timeseries, NO_TIMESERIES;
    DeleteTimeseriesTable, "/DeleteTimeseriesTable", Timeseries, NO_TIMESERIES;
    PutTimeseriesData, "/PutTimeseriesData", Timeseries, NO_TIMESERIES;
    GetTimeseriesData, "/GetTimeseriesData", Timeseries, NO_TIMESERIES;
    QueryTimeseriesMeta, "/QueryTimeseriesMeta", Timeseries, NO_TIMESERIES;
    UpdateTimeseriesMeta, "/UpdateTimeseriesMeta", Timeseries, NO_TIMESERIES;
    DeleteTimeseriesMeta, "/DeleteTimeseriesMeta", Timeseries, NO_TIMESERIES;
    SplitTimeseriesScanTask, "/SplitTimeseriesScanTask", Timeseries, NO_TIMESERIES;
    ScanTimeseriesData, "/ScanTimeseriesData", Timeseries, NO_TIMESERIES;
    CreateTimeseriesAnalyticalStore, "/CreateTimeseriesAnalyticalStore", Timeseries, NO_TIMESERIES;
    UpdateTimeseriesAnalyticalStore, "/UpdateTimeseriesAnalyticalStore", Timeseries, NO_TIMESERIES;
    DeleteTimeseriesAnalyticalStore, "/DeleteTimeseriesAnalyticalStore", Timeseries, NO_TIMESERIES;
    DescribeTimeseriesAnalyticalStore, "/DescribeTimeseriesAnalyticalStore", Timeseries, NO_TIMESERIES;
    CreateTimeseriesLastpointIndex, "/CreateTimeseriesLastpointIndex", Timeseries, NO_TIMESERIES;
    DeleteTimeseriesLastpointIndex, "/DeleteTimeseriesLastpointIndex", Timeseries, NO_TIMESERIES;
    CreateGlobalTable, "/CreateGlobalTable", GlobalTable, NO_GLOBAL_TABLES;
    BindGlobalTable, "/BindGlobalTable", GlobalTable, NO_GLOBAL_TABLES;
    UnbindGlobalTable, "/UnbindGlobalTable", GlobalTable, NO_GLOBAL_TABLES;
    DescribeGlobalTable, "/DescribeGlobalTable", GlobalTable, NO_GLOBAL_TABLES;
    UpdateGlobalTable, "/UpdateGlobalTable", GlobalTable, NO_GLOBAL_TABLES;
    LoadTable, "/LoadTable", SchemaOnly, ALWAYS_LOADED;
    UnloadTable, "/UnloadTable", SchemaOnly, ALWAYS_LOADED;
}

impl Operation {
    /// The action's name: its path without the leading slash.
    pub fn name(self) -> &'static str {
        self.path().trim_start_matches('/')
    }

    /// Whether a call whose answer was lost may be sent again.
    pub fn is_idempotent(self) -> bool {
        matches!(
            self,
            Self::ListTable
                | Self::DescribeTable
                | Self::GetRow
                | Self::BatchGetRow
                | Self::GetRange
                | Self::BulkExport
                | Self::ListStream
                | Self::DescribeStream
                | Self::GetShardIterator
                | Self::GetStreamRecord
                | Self::ComputeSplitPointsBySize
                | Self::DescribeDeliveryTask
                | Self::ListDeliveryTask
                | Self::ListSearchIndex
                | Self::DescribeSearchIndex
                | Self::Search
                | Self::ParallelScan
                | Self::ComputeSplits
                | Self::ListTimeseriesTable
                | Self::DescribeTimeseriesTable
                | Self::GetTimeseriesData
                | Self::QueryTimeseriesMeta
                | Self::SplitTimeseriesScanTask
                | Self::ScanTimeseriesData
                | Self::DescribeTimeseriesAnalyticalStore
                | Self::TunnelList
                | Self::TunnelDescribe
                | Self::TunnelReadRecords
                | Self::TunnelGetCheckpoint
        )
    }

    /// What to answer to a refused action: its name and the nearest alternative. `None` if it is served.
    pub fn refusal(self) -> Option<String> {
        match self.support() {
            Refused(alternative) => Some(format!("{} is not supported here; {alternative}.", self.name())),
            Served | AnswersEmpty => None,
        }
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_action_is_found_by_its_path() {
        for operation in Operation::ALL {
            assert_eq!(Operation::from_path(operation.path()), Some(*operation));
        }
        assert_eq!(Operation::from_path("/getrow"), None);
    }

    #[test]
    fn no_action_that_changes_something_counts_as_idempotent() {
        for operation in Operation::ALL {
            let verb = ["Create", "Delete", "Put", "Update", "BatchWrite", "Add", "Drop", "BulkImport"];
            if verb.iter().any(|verb| operation.name().starts_with(verb)) {
                assert!(!operation.is_idempotent(), "{operation}");
            }
        }
    }

    /// A row of the parity table for each group, by what its actions answer.
    fn parity_table() -> String {
        let mut table = "\n| | Action | |\n|---|---|---|\n".to_owned();
        let mut rows: Vec<(Group, Support, Vec<String>)> = Vec::new();
        for operation in Operation::ALL {
            let (group, support) = (operation.group(), operation.support());
            let name = format!("`{operation}`");
            match rows.iter_mut().find(|row| (row.0, row.1) == (group, support)) {
                Some(row) => row.2.push(name),
                None => rows.push((group, support, vec![name])),
            }
        }
        for (group, support, names) in rows {
            let answer = match support {
                Served => "served".to_owned(),
                AnswersEmpty => "answers that there is none".to_owned(),
                Refused(alternative) => format!("refused: {alternative}"),
            };
            table.push_str(&format!("| {group} | {} | {answer} |\n", names.join(", ")));
        }
        table
    }

    /// `UPDATE_README=1 cargo test -p lakeferry-wire parity` writes it.
    #[test]
    fn the_readme_has_the_parity_table_of_this_list() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../README.md");
        let readme = std::fs::read_to_string(path).unwrap();
        let (before, rest) = readme.split_once("operation.rs -->\n").unwrap();
        let (present, after) = rest.split_once("\n<!-- /parity -->").unwrap();
        let table = parity_table();
        if std::env::var_os("UPDATE_README").is_some() {
            let text = format!("{before}operation.rs -->\n{table}\n<!-- /parity -->{after}");
            std::fs::write(path, text).unwrap();
        } else {
            assert_eq!(present, table, "write it with UPDATE_README=1");
        }
    }

    #[test]
    fn a_refusal_names_the_action_and_the_way_around_it() {
        assert_eq!(Operation::GetRow.refusal(), None);
        assert_eq!(Operation::ListSearchIndex.refusal(), None);
        let refusal = Operation::LoadTable.refusal().unwrap();
        assert_eq!(refusal, "LoadTable is not supported here; tables are always loaded.");
    }
}
