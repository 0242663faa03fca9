//! `chainrun models show`.

use serde_json::{Map, Value as Json, json};

use super::super::console::print_line;
use super::listing::given;
use super::{Command, Meant, words};
use crate::models::{self, Entry};
use crate::providers::ollama::library::{About, with_tag};

/// Lines of a licence that are shown; `--json` has all of it.
const LICENCE: usize = 3;

impl Command {
    /// Shows a model.
    pub async fn show(&self, name: &str) -> Result<(), u8> {
        match self.meant(name)? {
            Meant::Catalog(entry) => self.show_entry(entry),
            Meant::Server(name) => {
                let about = self.library.about(name).await.map_err(|error| self.failed(&error))?;
                if self.json {
                    self.print_json(&as_json(name, &about));
                } else {
                    print_line(page(&about).trim_end());
                }
            }
        }
        Ok(())
    }

    fn show_entry(&self, entry: &Entry) {
        let installed = models::installed(&self.context);
        let path = installed.iter().find(|i| i.entry == entry).map(|i| i.path.display().to_string());
        if self.json {
            let sources: Vec<String> = entry.sources.iter().map(ToString::to_string).collect();
            self.print_json(&json!({
                "name": entry.name, "source": "catalog", "description": entry.doc, "licence": entry.licence,
                "size": entry.size, "digest": entry.sha256, "path": path, "sources": sources,
            }));
            return;
        }
        let place = path.unwrap_or_else(|| format!("not here; `chainrun models pull {}` fetches it", entry.name));
        let mut rows = vec![
            ("description", entry.doc.to_owned()),
            ("licence", entry.licence.to_owned()),
            ("size", words::size(entry.size)),
            ("sha256", entry.sha256.to_owned()),
            ("file", place),
        ];
        rows.extend(entry.sources.iter().map(|source| ("from", source.to_string())));
        print_line(section("Model", &rows).trim_end());
    }
}

/// A name and what stands beside it, below a title; nothing where nothing stands there.
fn section(title: &str, rows: &[(&str, String)]) -> String {
    let rows: Vec<_> = rows.iter().filter(|(_, value)| !value.is_empty()).collect();
    if rows.is_empty() {
        return String::new();
    }
    let width = rows.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
    let mut out = format!("  {title}\n");
    for (name, value) in rows {
        let name = words::plain(name);
        let gap = " ".repeat(width.saturating_sub(name.chars().count()) + 4);
        out.push_str(&format!("    {name}{gap}{}\n", words::plain(value)));
    }
    out + "\n"
}

/// A text below a title, its first lines where there are more than `most`.
fn paragraph(title: &str, text: &str, most: usize) -> String {
    let text = text.trim_matches('\n');
    if text.trim().is_empty() {
        return String::new();
    }
    let mut out = format!("  {title}\n");
    for line in words::lines(text).take(most) {
        out.push_str(format!("    {line}").trim_end());
        out.push('\n');
    }
    if text.lines().count() > most {
        out.push_str("    ...\n");
    }
    out + "\n"
}

fn page(about: &About) -> String {
    let number = |n: Option<u64>| n.map_or_else(String::new, |n| n.to_string());
    let model = section(
        "Model",
        &[
            ("runs at", about.remote_host.clone()),
            ("architecture", about.architecture.clone()),
            ("parameters", about.parameters.clone()),
            ("context length", number(about.context)),
            ("embedding length", number(about.embedding)),
            ("quantization", about.quantization.clone()),
        ],
    );
    let capabilities = paragraph("Capabilities", &about.capabilities.join("\n"), usize::MAX);
    let options: Vec<(&str, String)> =
        about.options.iter().map(|(name, value)| (name.as_str(), Json::from(value.as_str()).to_string())).collect();
    [
        model,
        capabilities,
        section("Parameters", &options),
        paragraph("System", &about.system, usize::MAX),
        paragraph("Template", &about.template, usize::MAX),
        paragraph("License", &about.licence, LICENCE),
    ]
    .concat()
}

fn as_json(name: &str, about: &About) -> Json {
    let mut options: Map<String, Json> = Map::new();
    for (name, value) in &about.options {
        // A name may stand several times, as `stop` does.
        match options.get_mut(name) {
            Some(Json::Array(values)) => values.push(Json::from(value.as_str())),
            _ => drop(options.insert(name.clone(), json!([value]))),
        }
    }
    json!({
        "name": with_tag(name), "source": "ollama", "architecture": given(&about.architecture),
        "parameters": given(&about.parameters), "quantization": given(&about.quantization),
        "context_length": about.context, "embedding_length": about.embedding, "capabilities": about.capabilities,
        "options": options, "system": given(&about.system), "template": given(&about.template),
        "licence": given(&about.licence), "remote_host": given(&about.remote_host),
        "modified_at": given(&about.modified_at),
    })
}
