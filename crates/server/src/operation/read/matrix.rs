//! Pages with one value for each column: SimpleRowMatrix, filled straight from stored rows.

use bytes::Bytes;
use lakeferry_model::ValueRef;
use lakeferry_store::{Visibility, key};
use lakeferry_wire::row_matrix::MatrixWriter;
use smallvec::SmallVec;

use super::pages::{Page, Sizes};
use super::{Lens, StoredRow};
use crate::error::ApiError;

/// A page while it fills.
pub struct MatrixPage<'l> {
    lens: &'l Lens<'l>,
    block: MatrixWriter,
    /// For each column of the primary key, whether it is in the block.
    key_fields: Vec<bool>,
    /// Names of the attribute columns, in name order as in the block.
    attributes: Vec<&'l str>,
    sizes: Sizes,
}

impl<'l> MatrixPage<'l> {
    /// An empty page. Primary key columns come first, in the schema's order, all of them if `entire_key`, else
    /// those that are asked for; then attributes in name order, each once.
    pub fn new(lens: &'l Lens<'l>, asked: &'l [String], entire_key: bool) -> Self {
        let columns = &lens.schema.primary_key;
        let key_fields: Vec<bool> =
            columns.iter().map(|column| entire_key || asked.contains(&column.name)).collect();
        let keys = columns.iter().zip(&key_fields).filter(|(_, is_field)| **is_field);
        let key_names: Vec<&str> = keys.map(|(column, _)| column.name.as_str()).collect();
        let is_key = |name: &str| columns.iter().any(|column| column.name == name);
        let mut attributes: Vec<&str> =
            asked.iter().map(String::as_str).filter(|name| !is_key(name)).collect();
        attributes.sort_unstable();
        attributes.dedup();
        let block = MatrixWriter::new(&key_names, &attributes, key_names.len() == columns.len());
        Self { lens, block, key_fields, attributes, sizes: Sizes::default() }
    }

    /// The block, and what it shows.
    pub fn finish(self) -> (Bytes, Sizes) {
        (self.block.finish(), self.sizes)
    }

    fn add_key(&mut self, row_key: &[u8]) -> Result<(), ApiError> {
        let columns = &self.lens.schema.primary_key;
        for ((column, part), is_field) in
            columns.iter().zip(key::parts(row_key, columns)).zip(&self.key_fields)
        {
            let part = part?;
            if *is_field {
                self.sizes.add(Sizes { names: column.name.len(), values: part.as_ref().size() });
                self.block.field(Some(part.as_ref()));
            }
        }
        Ok(())
    }
}

impl Page for MatrixPage<'_> {
    fn add(&mut self, (row_key, row): StoredRow<'_>, visibility: &Visibility) -> Result<bool, ApiError> {
        if !self.lens.passes((row_key, row), visibility)? {
            return Ok(false);
        }
        let mut fields: SmallVec<[Option<ValueRef<'_>>; 16]> =
            SmallVec::from_elem(None, self.attributes.len());
        let mut any = false;
        let mut cells = self.lens.cells(row, visibility)?;
        let mut place = 0;
        while let Some(cell) = cells.next()? {
            // Both come in name order. Behind its newest version, a column is not among those left.
            place += self.attributes[place..].partition_point(|name| *name < cell.name);
            any = true;
            if self.attributes.get(place).is_some_and(|name| *name == cell.name) {
                fields[place] = Some(cell.value);
                place += 1;
                self.sizes.add(Sizes { names: cell.name.len(), values: cell.value.size() });
            }
        }
        if !any && !self.lens.shows_bare(row, cells.is_cut(), visibility)? {
            return Ok(false);
        }
        self.block.start_row();
        self.add_key(row_key)?;
        fields.into_iter().for_each(|field| self.block.field(field));
        Ok(true)
    }

    fn bytes(&self) -> usize {
        self.block.len()
    }
}
