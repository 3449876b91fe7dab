//! `kv-fakes backendless`.

use std::io;

use clap::Args;
use kv_fakes::backendless::{API_KEY, APP_ID, Fake, HIVE, Switches};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::Served;
use super::arguments::Serving;

/// What stands for something else in a store URL.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// Backendless Hive: the key-value buckets of one application
#[derive(Args)]
pub(super) struct Arguments {
    /// The application
    #[arg(long, value_name = "ID", default_value = APP_ID)]
    app_id: String,
    /// The API key that is let in
    #[arg(long, value_name = "KEY", default_value = API_KEY)]
    api_key: String,
    /// A hive that is there from the beginning; may be repeated, and more can be created over the API
    #[arg(long, value_name = "NAME", default_value = HIVE)]
    hive: Vec<String>,
    /// The token of a user who is logged in; may be repeated
    #[arg(long, value_name = "TOKEN")]
    user_token: Vec<String>,
    /// The status of the answer to any other token
    #[arg(long, value_name = "STATUS", default_value_t = 400, value_parser = clap::value_parser!(u16).range(400..=499))]
    bad_user_token_status: u16,
    #[command(flatten, next_help_heading = "What no source settles")]
    switches: Switches,
    #[command(flatten, next_help_heading = "How it is served")]
    serving: Serving,
}

impl Arguments {
    pub(super) async fn serve(self) -> io::Result<Served> {
        let Self { app_id, api_key, hive: hives, user_token, bad_user_token_status, switches, serving } = self;
        serving.refuse_faults_of_cloudflare()?;
        // The default is no secret; what the caller gave is not repeated.
        let shown_key = if api_key == API_KEY { API_KEY } else { "(the key that was given)" };
        let hints = |base_url: &str| {
            let mut hints = vec![
                format!("BACKENDLESS_API_KEY={shown_key}"),
                format!("Backendless.serverURL = '{base_url}'  (the vendor's package for JavaScript)"),
            ];
            let app_id = utf8_percent_encode(&app_id, RESERVED);
            for hive in hives.iter().map(|hive| utf8_percent_encode(hive, RESERVED)) {
                hints.push(format!("backendless://{app_id}@/{hive}?base_url={base_url}"));
                hints.push(format!("backendless:///{hive}?base_url={base_url}"));
            }
            hints
        };
        let fake = Fake::new().with_app_id(&app_id).with_api_key(&api_key).with_switches(switches);
        let fake = hives.iter().fold(fake, |fake, hive| fake.with_hive(hive));
        let fake = user_token.into_iter().fold(fake, Fake::with_user_token);
        let server = fake.with_bad_user_token_status(bad_user_token_status).serve(serving.options()).await?;
        serving.order(&server);
        let hints = hints(server.base_url());
        Ok(Served { server, hints })
    }
}
