//! Completions and the man page, made from the command's own definition.

use std::io::{self, Write};

use clap::{Command, CommandFactory, Id};
use clap_complete::Shell;
use clap_mangen::Man;

use super::arguments::Arguments;
use super::stdio;

/// The completions for a shell.
pub(crate) fn completions(shell: Shell) -> Vec<u8> {
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut Arguments::command(), "kv-migrate", &mut text);
    if shell == Shell::Bash {
        // clap_complete calls a state by one name where it is entered and by another where it is looked up, when the
        // program has a hyphen in its name (clap-rs/clap#6421).
        text = String::from_utf8_lossy(&text).replace("kv__subcmd__migrate__", "kv__migrate__").into_bytes();
    }
    text
}

/// One page with all subcommands, as roff.
pub(crate) fn man() -> io::Result<Vec<u8>> {
    let mut command = Arguments::command();
    command.build();
    let mut page = Vec::new();
    let whole = Man::new(command.clone());
    whole.render_title(&mut page)?;
    whole.render_name_section(&mut page)?;
    whole.render_synopsis_section(&mut page)?;
    whole.render_description_section(&mut page)?;
    whole.render_options_section(&mut page)?;
    // The options of `copy` are those of others too, and stand there alone.
    let shared: Vec<Id> = command
        .find_subcommand("copy")
        .map_or_else(Vec::new, |copy| copy.get_arguments().map(|argument| argument.get_id().clone()).collect());
    for subcommand in command.get_subcommands() {
        let hidden = if subcommand.get_name() == "copy" { &[][..] } else { &shared };
        page.extend_from_slice(&section(subcommand, hidden)?);
    }
    page.extend_from_slice(&below(&command));
    whole.render_version_section(&mut page)?;
    Ok(page)
}

/// A subcommand as a section of the page. What is global, or the same for all, stands elsewhere.
fn section(command: &Command, hidden: &[Id]) -> io::Result<Vec<u8>> {
    let man = Man::new(command.clone().mut_args(|argument| {
        let id = argument.get_id();
        let elsewhere = argument.is_global_set() || id == "help" || hidden.contains(id);
        if elsewhere { argument.hide(true) } else { argument }
    }));
    let mut text = Vec::new();
    man.render_synopsis_section(&mut text)?;
    man.render_description_section(&mut text)?;
    man.render_options_section(&mut text)?;
    let text = String::from_utf8_lossy(&text).replace(".SH ", ".SS ");
    let name = command.get_name().to_uppercase();
    Ok(format!(".SH \"{name}\"\n{text}").into_bytes())
}

/// What stands below the help: its lines as they are.
fn below(command: &Command) -> Vec<u8> {
    let text = command.get_after_long_help().map(ToString::to_string).unwrap_or_default();
    let mut page = String::new();
    for block in text.split("\n\n") {
        let Some((title, lines)) = block.split_once('\n') else { continue };
        let lines = lines.replace('\\', "\\e").replace('-', "\\-");
        page.push_str(&format!(".SH \"{}\"\n.nf\n{lines}\n.fi\n", title.trim_end_matches(':').to_uppercase()));
    }
    page.into_bytes()
}

/// Writes it to standard output.
pub(crate) fn print(text: &[u8]) -> io::Result<()> {
    stdio::is_output_there()?;
    let mut output = io::stdout().lock();
    output.write_all(text)?;
    output.flush()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::cli::exit::Exit;

    const README: &str = include_str!("../../README.md");

    /// Every option of every subcommand, as it is written.
    fn options(command: &Command) -> BTreeSet<String> {
        let own = command.get_arguments().filter_map(|argument| argument.get_long()).map(|long| format!("--{long}"));
        own.chain(command.get_subcommands().flat_map(options)).collect()
    }

    fn built() -> Command {
        let mut command = Arguments::command();
        command.build();
        command
    }

    fn man_text() -> String {
        // As a reader sees it: without the escapes of roff for fonts and hyphens.
        let page = String::from_utf8(man().unwrap()).unwrap().replace("\\-", "-");
        ["\\fB", "\\fI", "\\fR"].iter().fold(page, |page, font| page.replace(font, ""))
    }

    #[test]
    fn the_definition_is_consistent() {
        Arguments::command().debug_assert();
    }

    /// What the README says in code: spans and blocks.
    fn code(text: &str) -> Vec<&str> {
        let (mut spans, mut blocks) = (Vec::new(), false);
        for line in text.lines() {
            if line.starts_with("```") {
                blocks = !blocks;
            } else if blocks {
                spans.push(line.split(" #").next().unwrap_or(line));
            } else {
                spans.extend(line.split('`').skip(1).step_by(2));
            }
        }
        spans
    }

    fn options_in(code: &str) -> impl Iterator<Item = &str> {
        let words = code.split(|c: char| !(c.is_ascii_alphanumeric() || c == '-'));
        words.filter(|word| {
            word.strip_prefix("--").is_some_and(|name| name.starts_with(|c: char| c.is_ascii_lowercase()))
        })
    }

    #[test]
    fn readme_man_page_and_definition_name_the_same_options() {
        let defined = options(&built());
        assert!(defined.contains("--prefix") && defined.len() > 8, "{defined:?}");
        let readme: BTreeSet<String> = code(README)
            .into_iter()
            .filter(|code| !code.starts_with("cargo"))
            .flat_map(options_in)
            .map(str::to_owned)
            .collect();
        assert_eq!(readme, defined, "left: README, right: the command");
        let man: BTreeSet<String> = options_in(&man_text()).map(str::to_owned).collect();
        assert_eq!(man, defined, "left: man page, right: the command");
    }

    #[test]
    fn readme_and_man_page_name_every_subcommand() {
        let man = man_text();
        for command in built().get_subcommands() {
            let name = command.get_name();
            assert!(code(README).iter().any(|code| code.starts_with(&format!("kv-migrate {name}"))), "README: {name}");
            assert!(man.contains(&format!(".SH \"{}\"", name.to_uppercase())), "man page: {name}");
        }
    }

    #[test]
    fn readme_help_and_man_page_give_the_exit_codes_one_meaning() {
        let help = built().render_long_help().to_string();
        let man = man_text();
        for exit in Exit::ALL {
            let (code, meaning) = (exit.code(), exit.meaning());
            assert!(README.contains(&format!("| {code} | {meaning} |")), "README: {code}");
            assert!(help.contains(&format!("  {code:<3}  {meaning}")), "{help}");
            assert!(man.contains(&format!("  {code:<3}  {meaning}")), "{man}");
        }
    }

    #[test]
    fn completions_of_bash_look_up_each_state_that_they_enter() {
        let text = String::from_utf8(completions(Shell::Bash)).unwrap();
        let entered: BTreeSet<&str> =
            text.lines().filter_map(|line| line.trim().strip_prefix("cmd=\"")?.strip_suffix('"')).collect();
        assert!(entered.len() > built().get_subcommands().count(), "{entered:?}");
        for state in entered.iter().filter(|state| !state.is_empty()) {
            assert!(text.contains(&format!("\n        {state})\n")), "{state}");
        }
    }

    #[test]
    fn completions_know_every_subcommand_and_option() {
        for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
            let text = String::from_utf8(completions(shell)).unwrap();
            for word in ["export", "completions", "unknown-expiry-as-never"] {
                assert!(text.contains(word), "{shell}: {word}");
            }
        }
    }
}
