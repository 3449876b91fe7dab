//! `kv-fakes puter`.

use std::io;

use clap::Args;
use kv_fakes::puter::{Access, Fake, Grant, Switches, TOKEN, Tier, USER};

use super::Served;
use super::arguments::Serving;

/// The user behind a token for a temporary user.
const TEMPORARY_USER: &str = "0a5e0000-0000-4000-8000-000000000002";

/// Puter KV: the key-value driver of a Puter server
#[derive(Args)]
pub(super) struct Arguments {
    /// The token of the user, who is on the free tier
    #[arg(long, value_name = "TOKEN", default_value = TOKEN)]
    token: String,
    /// An app of the user, which has entries of its own, and its token; may be repeated
    #[arg(long, value_name = "APP=TOKEN", value_parser = parse_app_token)]
    app_token: Vec<(String, String)>,
    /// A token of the user that is good for single permissions only, none of which is the key-value store
    #[arg(long, value_name = "TOKEN")]
    scoped_token: Option<String>,
    /// The token of another user, a temporary one
    #[arg(long, value_name = "TOKEN")]
    temporary_token: Option<String>,
    #[command(flatten, next_help_heading = "How it differs from what is usual")]
    switches: Switches,
    #[command(flatten, next_help_heading = "How it is served")]
    serving: Serving,
}

impl Arguments {
    pub(super) async fn serve(self) -> io::Result<Served> {
        let Self { token, app_token, scoped_token, temporary_token, switches, serving } = self;
        // The default is no secret; what the caller gave is not repeated.
        let shown_token = if token == TOKEN { TOKEN } else { "(the token that was given)" };
        let hints = |base_url: &str| {
            vec![
                format!("PUTER_AUTH_TOKEN={shown_token}"),
                format!("globalThis.PUTER_API_ORIGIN = '{base_url}'  (the vendor's package, before it is loaded)"),
                format!("puter://?base_url={base_url}"),
            ]
        };
        let mut fake = Fake::new().with_switches(switches).with_token(token, Grant::user(USER));
        for (app, token) in app_token {
            fake = fake.with_token(token, Grant::app(USER, app));
        }
        if let Some(token) = scoped_token {
            fake = fake.with_token(token, Grant::user(USER).with_access(Access::Scoped));
        }
        if let Some(token) = temporary_token {
            fake = fake.with_token(token, Grant::user(TEMPORARY_USER).with_tier(Tier::Temporary));
        }
        let server = fake.serve(serving.options()).await?;
        serving.order(&server);
        let hints = hints(server.base_url());
        Ok(Served { server, hints })
    }
}

fn parse_app_token(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((app, token)) if !app.is_empty() && !token.is_empty() => Ok((app.to_owned(), token.to_owned())),
        _ => Err("expected APP=TOKEN".to_owned()),
    }
}
