//! `bodega admin`: the accounts that run the shop, of which the first one has nobody else to make it.

use std::io::{BufRead as _, IsTerminal as _, Write as _, stdin};

use anyhow::{Context as _, bail, ensure};
use http::Request;
use http::header::CONTENT_TYPE;
use http_body_util::{BodyExt as _, Full};
use identity::Role;
use serde_json::json;

use super::remote::{self, Remote};

/// Where accounts of any role are made.
const ACCOUNTS_PATH: &str = "/api/auth/accounts";
/// Bytes of randomness in a generated password, which is as many pairs of hexadecimal digits.
const PASSWORD_BYTES: usize = 16;

/// Arguments of `bodega admin`.
#[derive(Debug, clap::Args)]
pub(super) struct Admin {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Make an account with the role admin in the running application.
    Create(Create),
}

#[derive(Debug, clap::Args)]
struct Create {
    /// The email address to log in with; asked for if it is missing.
    #[arg(long)]
    email: Option<String>,
    /// Read the password from the first line of the standard input. Without it the password is asked for, or made where nobody can be asked.
    #[arg(long)]
    password_stdin: bool,
    #[command(flatten)]
    remote: Remote,
}

/// A password, and whether somebody has yet to be told it.
struct Password {
    text: String,
    made: bool,
}

impl Admin {
    pub(super) fn run(self) -> anyhow::Result<()> {
        match self.command {
            Command::Create(create) => create.run(),
        }
    }
}

impl Create {
    fn run(self) -> anyhow::Result<()> {
        let application = self.remote.connect(Role::Admin)?;
        let email = match self.email {
            Some(email) => email,
            None => ask_email()?,
        };
        let password = if self.password_stdin { read_password()? } else { ask_password()? };
        let account = json!({ "email": email, "password": password.text, "role": Role::Admin });
        let request = Request::post(ACCOUNTS_PATH).header(CONTENT_TYPE, "application/json");
        let body = Full::from(account.to_string()).map_err(|never| match never {}).boxed_unsync();
        remote::runtime()?.block_on(application.send(request, body))?;
        println!("{email} is an admin now");
        if password.made {
            println!("password (shown this once): {}", password.text);
        }
        Ok(())
    }
}

fn ask_email() -> anyhow::Result<String> {
    ensure!(stdin().is_terminal(), "give the address with --email");
    print!("Email: ");
    std::io::stdout().flush()?;
    first_line()
}

fn read_password() -> anyhow::Result<Password> {
    Ok(Password { text: first_line()?, made: false })
}

fn ask_password() -> anyhow::Result<Password> {
    if !stdin().is_terminal() {
        return make_password();
    }
    let text = rpassword::prompt_password("Password (empty to have one made): ")?;
    if text.is_empty() {
        return make_password();
    }
    if rpassword::prompt_password("The same again: ")? != text {
        bail!("the two are not the same; nothing was made");
    }
    Ok(Password { text, made: false })
}

fn make_password() -> anyhow::Result<Password> {
    let mut bytes = [0; PASSWORD_BYTES];
    getrandom::fill(&mut bytes).context("the operating system gives no random bytes")?;
    Ok(Password { text: hex::encode(bytes), made: true })
}

fn first_line() -> anyhow::Result<String> {
    let mut line = String::new();
    stdin().lock().read_line(&mut line)?;
    Ok(line.trim_end_matches(['\r', '\n']).to_owned())
}
