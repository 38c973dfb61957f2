//! Trajectories as text: a table of named columns with units, written as CSV with the shortest numbers that read back
//! to the same bits.

/// One column.
#[derive(Debug, Clone, PartialEq)]
pub struct Column {
    /// Such as `time`, `S`, `h(3)`.
    pub name: String,
    /// Such as `mg/dL`; empty where none is known.
    pub unit: String,
    /// One value a row; NaN is an empty cell.
    pub values: Vec<f64>,
}

impl Column {
    /// `name [unit]`, or the bare name.
    pub fn header(&self) -> String {
        header(&self.name, &self.unit)
    }
}

/// `name [unit]`, or the bare name where there is no unit.
pub fn header(name: &str, unit: &str) -> String {
    if unit.is_empty() { name.to_string() } else { format!("{name} [{unit}]") }
}

/// Columns of equal length.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Table {
    /// In the order written.
    pub columns: Vec<Column>,
}

impl Table {
    /// Rows of the longest column.
    pub fn n_rows(&self) -> usize {
        self.columns.iter().map(|column| column.values.len()).max().unwrap_or(0)
    }

    /// The column with this name.
    pub fn column(&self, name: &str) -> Option<&Column> {
        self.columns.iter().find(|column| column.name == name)
    }

    /// Comma-separated text with a header line; lines end in `\n` everywhere, so bytes do not depend on the system.
    pub fn to_csv(&self) -> String {
        self.to_text(',')
    }

    /// The same with tabs between the columns.
    pub fn to_tsv(&self) -> String {
        self.to_text('\t')
    }

    fn to_text(&self, separator: char) -> String {
        let n_rows = self.n_rows();
        let mut out = String::with_capacity((n_rows + 1) * self.columns.len() * 12);
        for (i, column) in self.columns.iter().enumerate() {
            if i > 0 {
                out.push(separator);
            }
            out.push_str(&quoted(&column.header(), separator));
        }
        out.push('\n');
        for row in 0..n_rows {
            for (i, column) in self.columns.iter().enumerate() {
                if i > 0 {
                    out.push(separator);
                }
                if let Some(value) = column.values.get(row) {
                    push_cell(&mut out, *value);
                }
            }
            out.push('\n');
        }
        out
    }

    /// The same table as an Apache Parquet file, one row group, doubles without compression.
    ///
    /// # Errors
    /// The writer's reason.
    #[cfg(feature = "parquet")]
    pub fn to_parquet(&self) -> Result<Vec<u8>, String> {
        parquet_bytes(self).map_err(|error| format!("the table cannot be written as Parquet: {error}"))
    }
}

#[cfg(feature = "parquet")]
fn parquet_bytes(table: &Table) -> parquet::errors::Result<Vec<u8>> {
    use parquet::basic::{Repetition, Type as Physical};
    use parquet::data_type::DoubleType;
    use parquet::file::properties::WriterProperties;
    use parquet::file::writer::SerializedFileWriter;
    use parquet::schema::types::Type;
    use std::sync::Arc;

    let mut fields = Vec::new();
    for column in &table.columns {
        let field = Type::primitive_type_builder(&column.header(), Physical::DOUBLE)
            .with_repetition(Repetition::REQUIRED)
            .build()?;
        fields.push(Arc::new(field));
    }
    let schema = Arc::new(Type::group_type_builder("trajectory").with_fields(fields).build()?);
    let mut out = Vec::new();
    let mut writer = SerializedFileWriter::new(&mut out, schema, Arc::new(WriterProperties::builder().build()))?;
    let mut group = writer.next_row_group()?;
    for column in &table.columns {
        if let Some(mut cells) = group.next_column()? {
            cells.typed::<DoubleType>().write_batch(&column.values, None, None)?;
            cells.close()?;
        }
    }
    group.close()?;
    writer.close()?;
    Ok(out)
}

/// The shortest text that reads back to the same bits: `0.1`, `12`, `1e-9`, `inf`.
pub fn number(value: f64) -> String {
    // Debug is the shortest form with an exponent outside 1e-5 .. 1e16; Display never has one.
    let text = format!("{value:?}");
    text.strip_suffix(".0").map(str::to_string).unwrap_or_else(|| text.replace(".0e", "e"))
}

/// Adds the cell of a value: its [`number`], or nothing where it is not one.
pub fn push_cell(out: &mut String, value: f64) {
    use std::fmt::Write;
    if value.is_nan() {
        return;
    }
    let start = out.len();
    // Writing into a text cannot fail.
    let _ = write!(out, "{value:?}");
    if out.ends_with(".0") {
        out.truncate(out.len() - 2);
    } else if let Some(place) = out[start..].find(".0e") {
        out.replace_range(start + place..start + place + 2, "");
    }
}

/// A text as one cell, in quotes where it holds the separator, a quote or the end of a line.
pub fn quoted(text: &str, separator: char) -> String {
    if text.contains([separator, '"', '\n', '\r']) {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short_and_exact() {
        for (value, text) in [(0.1, "0.1"), (12.0, "12"), (-0.0, "-0"), (1e-9, "1e-9"), (1.5e300, "1.5e300")] {
            assert_eq!(number(value), text);
            let mut cells = String::from("7.0e,");
            push_cell(&mut cells, value);
            assert_eq!(cells, format!("7.0e,{text}"));
        }
        for value in [f64::MIN_POSITIVE, f64::MAX, 1.0 / 3.0, 2.0_f64.powi(-1074), 1e16, 123456789.125] {
            assert_eq!(number(value).parse::<f64>().map(f64::to_bits), Ok(value.to_bits()));
        }
    }

    #[test]
    fn writes_units_quotes_and_empty_cells() {
        let table = Table {
            columns: vec![
                Column { name: "time".into(), unit: "s".into(), values: vec![0.0, 0.5] },
                Column { name: "A,B".into(), unit: String::new(), values: vec![1.0, f64::NAN] },
            ],
        };
        assert_eq!(table.to_csv(), "time [s],\"A,B\"\n0,1\n0.5,\n");
        assert_eq!(table.to_tsv(), "time [s]\tA,B\n0\t1\n0.5\t\n");
    }

    /// Every number comes back with its bits, every column with its header.
    #[cfg(feature = "parquet")]
    #[test]
    fn parquet_reads_back_the_same_table() {
        use parquet::file::reader::{FileReader, SerializedFileReader};
        use parquet::record::Field;
        use std::io::Write;

        let values = vec![0.0, -0.0, 1.0 / 3.0, f64::NAN, f64::INFINITY, 2.0_f64.powi(-1074)];
        let times: Vec<f64> = (0..values.len()).map(|k| k as f64 * 0.1).collect();
        let column = |name: &str, unit: &str, values: Vec<f64>| Column { name: name.into(), unit: unit.into(), values };
        let table = Table { columns: vec![column("time", "s", times), column("h(3)", "", values)] };
        let bytes = table.to_parquet().expect("bytes");
        assert_eq!(table.to_parquet().as_ref(), Ok(&bytes), "the same table gives the same bytes");

        let mut file = tempfile::tempfile().expect("a file");
        file.write_all(&bytes).expect("written");
        let reader = SerializedFileReader::new(file).expect("a Parquet file");
        let mut read: Vec<(String, Vec<u64>)> = table.columns.iter().map(|c| (c.header(), Vec::new())).collect();
        for row in reader.get_row_iter(None).expect("rows") {
            for ((name, value), (header, bits)) in row.expect("a row").get_column_iter().zip(&mut read) {
                assert_eq!(name, header);
                match value {
                    Field::Double(value) => bits.push(value.to_bits()),
                    other => panic!("{name} holds {other}"),
                }
            }
        }
        for (column, (_, bits)) in table.columns.iter().zip(read) {
            assert_eq!(column.values.iter().map(|v| v.to_bits()).collect::<Vec<_>>(), bits);
        }
    }
}
