//! A test of the documentation: each of its links to a file or a heading of this repository leads somewhere.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use pulldown_cmark::{Event, Parser, Tag, TagEnd};

/// Looks at the pages in `root` and in its `docs`, and names every link that leads nowhere.
fn check(root: &Path) -> Result<()> {
    let broken: Vec<String> = pages(root)?.iter().map(|page| broken(page)).collect::<Result<Vec<_>>>()?.concat();
    ensure!(broken.is_empty(), "links that lead nowhere:\n{}", broken.join("\n"));
    Ok(())
}

fn pages(root: &Path) -> Result<Vec<PathBuf>> {
    let mut pages = Vec::new();
    for folder in [root.to_owned(), root.join("docs")] {
        for entry in fs::read_dir(&folder).with_context(|| format!("{}", folder.display()))? {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| extension == "md") {
                pages.push(path);
            }
        }
    }
    pages.sort();
    Ok(pages)
}

/// The links of `page` that lead nowhere, each with its page.
fn broken(page: &Path) -> Result<Vec<String>> {
    let text = read(page)?;
    let folder = page.parent().unwrap_or(Path::new("."));
    let mut broken = Vec::new();
    for event in Parser::new(&text) {
        let Event::Start(Tag::Link { dest_url, .. }) = event else { continue };
        if dest_url.contains(':') {
            // A link to elsewhere.
            continue;
        }
        let (file, anchor) = dest_url.split_once('#').map_or((&*dest_url, None), |(file, anchor)| (file, Some(anchor)));
        let target = if file.is_empty() { page.to_owned() } else { folder.join(file) };
        let leads = match anchor {
            None => target.exists(),
            Some(anchor) => target.is_file() && anchors(&read(&target)?).contains(anchor),
        };
        if !leads {
            broken.push(format!("{}: {dest_url}", page.display()));
        }
    }
    Ok(broken)
}

/// What headings are called in links, as GitHub makes it of them.
fn anchors(text: &str) -> BTreeSet<String> {
    let mut anchors = BTreeSet::new();
    let mut heading: Option<String> = None;
    for event in Parser::new(text) {
        match (event, &mut heading) {
            (Event::Start(Tag::Heading { .. }), _) => heading = Some(String::new()),
            (Event::Text(words) | Event::Code(words), Some(heading)) => heading.push_str(&words),
            (Event::End(TagEnd::Heading(_)), Some(words)) => {
                let lower = words.to_lowercase();
                let kept = lower.chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c));
                anchors.insert(kept.map(|c| if c == ' ' { '-' } else { c }).collect());
                heading = None;
            }
            _ => {}
        }
    }
    anchors
}

fn read(path: &Path) -> Result<String> {
    fs::read_to_string(path).with_context(|| format!("{}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_heading_has_the_anchor_that_github_gives_it() {
        let anchors = anchors("# Replace what runs\n\n## Settings of this host in `spin.toml`\n\nText\n");
        let expected = ["replace-what-runs", "settings-of-this-host-in-spintoml"].map(str::to_owned);
        assert_eq!(anchors, BTreeSet::from(expected));
    }

    #[test]
    fn links_that_lead_nowhere_are_named_and_others_are_not() {
        let folder = std::env::temp_dir().join(format!("links-{}", std::process::id()));
        fs::create_dir_all(folder.join("docs")).unwrap();
        let page = "# Top\n[a](docs/a.md#here) [b](docs/b.md) [c](#top) [d](#bottom) [e](https://example.com/#x)\n";
        fs::write(folder.join("README.md"), page).unwrap();
        fs::write(folder.join("docs/a.md"), "## Here\n[up](../README.md#top) [gone](../GONE.md)\n").unwrap();
        let error = check(&folder).unwrap_err().to_string();
        fs::remove_dir_all(&folder).unwrap();
        let named: Vec<&str> = error.lines().skip(1).filter_map(|line| line.rsplit(": ").next()).collect();
        assert_eq!(named, ["docs/b.md", "#bottom", "../GONE.md"]);
    }

    #[test]
    fn every_link_of_this_repository_leads_somewhere() {
        check(crate::packages::root()).unwrap();
    }
}
