//! What the reader of data files accepts, refuses and says.

use super::*;
use crate::limits::MAX_CSV_BYTES;
use crate::source::SourceFile;
use proptest::prelude::*;

/// The table and the messages, each as `code "text it points at": title | help`.
fn read(text: &str) -> (Option<Table>, Vec<String>) {
    let mut sources = SourceMap::default();
    let id = sources.add(SourceFile::new("data.csv", text));
    let mut diagnostics = Diagnostics::default();
    let table = Table::read(&sources, id, &mut diagnostics);
    let lines = diagnostics.iter().map(|d| {
        let notes: String = d.notes.iter().map(|note| format!(" ({note})")).collect();
        let help = d.help.as_deref().unwrap_or("");
        format!("{} {:?}: {} | {help}{notes}", d.code, sources.slice(d.span()), d.title)
    });
    (table, lines.collect())
}

fn accepted(text: &str) -> Table {
    let (table, messages) = read(text);
    assert_eq!(messages, Vec::<String>::new());
    table.unwrap()
}

fn refused(text: &str) -> Vec<String> {
    let (table, messages) = read(text);
    assert!(table.is_none(), "{text:?} was read");
    messages
}

/// All numbers, row by row.
fn numbers(table: &Table) -> Vec<Vec<Option<f64>>> {
    let columns = 0..table.columns().len() as u32;
    let row = |row| columns.clone().map(|column| table.number(row, ColumnIdx(column)).unwrap()).collect();
    (0..table.n_rows()).map(row).collect()
}

#[test]
fn reads_every_usual_spelling_of_one_table() {
    let expected = vec![vec![Some(0.0), Some(1.5)], vec![Some(10.0), None], vec![Some(20.0), Some(-2e-3)]];
    for text in [
        "t,P\n0,1.5\n10,\n20,-2e-3\n",
        "t,P\n0,1.5\n10,\n20,-2e-3",
        "t;P\n0;1.5\n10;\n20;-2e-3\n",
        "t\tP\n0\t1.5\n10\t\n20\t-2e-3\n",
        "\u{feff}t,P\r\n0,1.5\r\n10,\r\n20,-2e-3\r\n",
        "t,P\r0,1.5\r10,\r20,-2e-3",
        "# source: the lab\n\n\"t\", \"P\"\n 0 , 1.5\n# pause\n\"10\",\"\"\n+20,\"-2e-3\"\n\n\n",
    ] {
        let table = accepted(text);
        assert_eq!(table.columns().iter().map(|c| c.name.as_str()).collect::<Vec<_>>(), ["t", "P"], "{text:?}");
        assert_eq!(numbers(&table), expected, "{text:?}");
    }
}

#[test]
fn points_at_cells_rows_and_columns() {
    let text = "run,\"dose, mg\",P\n\"a \"\"fast\"\" one\",  100 ,\"3\"\nb,NaN,4\n";
    let mut sources = SourceMap::default();
    let id = sources.add(SourceFile::new("data.csv", text));
    let table = Table::read(&sources, id, &mut Diagnostics::default()).unwrap();
    let (run, dose) = (table.column("run").unwrap(), table.column("dose, mg").unwrap());
    assert_eq!(sources.slice(table.header_span()), "run,\"dose, mg\",P");
    assert_eq!(sources.slice(table.columns()[dose.0 as usize].span), "dose, mg");
    assert_eq!(sources.slice(table.cell_span(0, dose)), "100");
    assert_eq!(sources.slice(table.row_span(1)), "b,NaN,4");
    assert_eq!(table.text(0, run).as_deref(), Some("a \"fast\" one"));
    assert_eq!(table.text(1, run).as_deref(), Some("b"));
    let error = table.number(1, dose).unwrap_err();
    assert_eq!((sources.slice(error.span), error.text.as_str()), ("NaN", "NaN"));
    assert_eq!(table.column("nothing"), None);
    assert_eq!(table.number(99, run), Ok(None));
    assert_eq!(table.text(0, ColumnIdx(99)), None);
    assert_eq!(table.n_rows(), 2);
}

#[test]
fn says_of_each_cell_why_it_is_no_number() {
    let mut lines = String::new();
    for cell in [
        "NaN",
        "nan",
        "inf",
        "-inf",
        "infinity",
        "1e999",
        "NA",
        "-",
        "<0.1",
        "1,5",
        "\u{2212}3",
        "low",
        "1 000",
        "0x10",
    ] {
        let table = accepted(&format!("t;P\n0;{cell}\n"));
        let error = table.number(0, ColumnIdx(1)).unwrap_err();
        let diagnostic = error.diagnostic("P");
        lines.push_str(&format!("{} {}\n    {}\n", diagnostic.code, diagnostic.title, diagnostic.help.unwrap()));
    }
    let long = CellError { text: "\u{e9}".repeat(1000), ..accepted("t\nx\n").number(0, ColumnIdx(0)).unwrap_err() };
    lines.push_str(&long.diagnostic("P").title);
    insta::assert_snapshot!(lines);
}

#[test]
fn refuses_files_it_cannot_read_as_a_table() {
    let mut lines = String::new();
    for text in [
        "",
        " \n\n# only a comment\n",
        "\u{feff}",
        "t,P\n",
        "0,1.5\n10,2\n",
        "t,P\n0,1\n,\n5,2\n",
        "t,P\n0,1\n\n5,2\n",
        "t,P\n0\n1,2,3\n5,2\n",
        "t,P,t\n0,1,2\n",
        "t,\"P\n0,1\n",
        "t,P\n\"a\"b,1\n",
        "t,P\n0,\u{0}\n",
        "\u{7f}ELF",
        "only\n1\n\n2\n",
        "t,P\n  \" \" , \n0,1\n",
    ] {
        lines.push_str(&format!("{text:?}\n"));
        for message in refused(text) {
            lines.push_str(&format!("    {message}\n"));
        }
    }
    insta::assert_snapshot!(lines);
}

#[test]
fn counts_rows_of_one_mistake_past_the_tenth() {
    let messages = refused(&format!("t,P\n{}{}", "1\n".repeat(1000), ",\n".repeat(30)));
    assert_eq!(messages.len(), 20);
    assert!(messages[9].contains("990 more rows"), "{}", messages[9]);
    assert!(messages[19].contains("20 more rows"), "{}", messages[19]);
}

#[test]
fn bounds_bytes_and_columns() {
    let messages = refused(&"1,".repeat(MAX_CSV_BYTES / 2 + 1));
    assert!(messages[0].starts_with("E0610") && messages[0].contains("bytes, the limit is"), "{messages:?}");
    let messages = refused(&",".repeat(20_000));
    assert!(messages[0].starts_with("E0610") && messages[0].contains("20001 columns"), "{}", messages.len());
    let messages = refused(&format!("t,P\n1,2\n{}\n", ",5".repeat(20_000)));
    assert!(messages[0].contains("a row has 20001 cells"));
}

#[test]
fn names_the_columns_where_one_is_missing() {
    let table = accepted("t_min,prod_uM,,run\n0,1,2,3\n");
    let asked = Span::new(SourceId(0), 0, 5);
    let help = |name: &str| table.missing_column(name, asked).help.unwrap();
    assert_eq!(help("product"), "columns are `t_min`, `prod_uM`, `run`; did you mean `prod_uM`?");
    assert_eq!(help("t_mni"), "columns are `t_min`, `prod_uM`, `run`; did you mean `t_min`?");
    assert_eq!(help("glucose"), "columns are `t_min`, `prod_uM`, `run`");
    let diagnostic = table.missing_column("product", asked);
    assert_eq!((diagnostic.code, diagnostic.labels[1].span), (Code("E0601"), table.header_span()));
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(256) })]

    /// The `csv` crate as an independent reader: what it writes we read to the same cells.
    #[test]
    fn reads_what_the_csv_crate_writes(
        rows in prop::collection::vec(prop::collection::vec("[a-z0-9 ,;\"\n\t#.é]{0,6}", 3), 1..6),
        delimiter in prop::sample::select(vec![b',', b';', b'\t']),
    ) {
        let mut writer = csv::WriterBuilder::new().delimiter(delimiter).quote_style(csv::QuoteStyle::Always).from_writer(vec![]);
        writer.write_record(["x", "y", "z"]).unwrap();
        for row in &rows {
            writer.write_record(row).unwrap();
        }
        let text = String::from_utf8(writer.into_inner().unwrap()).unwrap();
        let is_empty = |row: &Vec<String>| row.iter().all(|cell| cell.trim().is_empty());
        let (table, messages) = read(&text);
        prop_assert_eq!(table.is_none(), rows.iter().any(is_empty), "{:?}", messages);
        if let Some(table) = table {
            for (i, row) in rows.iter().enumerate() {
                for (j, cell) in row.iter().enumerate() {
                    let found = table.text(i, ColumnIdx(j as u32)).unwrap_or_default().into_owned();
                    prop_assert_eq!(found, cell.trim());
                }
            }
        }
    }

    #[test]
    fn numbers_keep_every_bit(values in prop::collection::vec(prop::num::f64::NORMAL, 1..20)) {
        let text = format!("x\n{}\n", values.iter().map(|v| format!("{v:?}")).collect::<Vec<_>>().join("\n"));
        let found: Vec<f64> = numbers(&accepted(&text)).into_iter().flatten().flatten().collect();
        prop_assert_eq!(found, values);
    }

    #[test]
    fn no_text_panics(text in "[t,;\"\t\r\n# 0-9.eé\u{feff}\u{0}]{0,40}|.{0,40}") {
        let (table, messages) = read(&text);
        prop_assert_eq!(table.is_some(), messages.is_empty());
        if let Some(table) = table {
            for row in 0..table.n_rows() {
                prop_assert!((0..table.columns().len() as u32).any(|column| table.text(row, ColumnIdx(column)).is_some()));
            }
        }
    }
}
