//! Each switch the other way.

use kv_fakes::backendless::{Fractions, NoValue, Nulls, Numbers, Rounding, Switches};
use serde_json::{Value, json};

use crate::application::Application;

#[tokio::test]
async fn the_seconds_left_are_rounded_as_told() {
    for (rounding, after_400, after_500, after_9_700) in
        [(Rounding::Nearest, 10, 10, 0), (Rounding::Floor, 9, 9, 0), (Rounding::Ceil, 10, 10, 1)]
    {
        let application = Application::with(Switches { rounding, ..Switches::default() }).await;
        application.ok("PUT", "/k", json!({"value": 1, "ttl": 10})).await;
        let left = async || application.ok("GET", "/k/get-expiration-ttl", None).await.unwrap();
        assert_eq!(left().await, json!(10));
        application.advance(400);
        assert_eq!(left().await, json!(after_400), "{rounding:?}");
        application.advance(100);
        assert_eq!(left().await, json!(after_500), "{rounding:?}");
        application.advance(9_200);
        assert_eq!(left().await, json!(after_9_700), "{rounding:?}");
    }
}

#[tokio::test]
async fn numbers_can_pass_through_doubles() {
    let application = Application::with(Switches { numbers: Numbers::AsDoubles, ..Switches::default() }).await;
    let value = json!({"whole": 1.0, "large": 9_007_199_254_740_993_i64, "list": [1.5, i64::MAX], "text": "1.0"});
    application.ok("PUT", "/k", json!({"value": value})).await;
    application.ok("PUT", "", json!({"j": 9_007_199_254_740_993_i64})).await;
    let (_, text) = application.send("GET", "/api/hive/hive/key-value/k", &[], None).await;
    assert_eq!(text, r#"{"large":9007199254740992,"list":[1.5,9.223372036854776e+18],"text":"1.0","whole":1}"#);
    assert_eq!(application.ok("GET", "/j", None).await, Some(json!(9_007_199_254_740_992_i64)));
}

#[tokio::test]
async fn nulls_can_be_stored() {
    let application = Application::with(Switches { nulls: Nulls::Stored, ..Switches::default() }).await;
    assert_eq!(application.ok("PUT", "/k", json!({"value": null})).await, Some(json!(true)));
    application.ok("PUT", "", json!({"j": null})).await;
    assert_eq!(application.server.keys(), ["j", "k"]);
    assert_eq!(application.ok("GET", "/k", None).await, Some(Value::Null));
    assert_eq!(application.ok("POST", "", json!(["j", "k", "x"])).await, Some(json!({"j": null, "k": null})));
}

#[tokio::test]
async fn no_value_can_be_an_empty_body() {
    let switches = Switches { nulls: Nulls::Stored, no_value: NoValue::EmptyBody, ..Switches::default() };
    let application = Application::with(switches).await;
    application.ok("PUT", "", json!({"k": null, "text": ""})).await;
    assert_eq!(application.ok("GET", "/k", None).await, None);
    assert_eq!(application.ok("GET", "/missing", None).await, None);
    assert_eq!(application.ok("GET", "/text", None).await, Some(json!("")));
}

#[tokio::test]
async fn counters_can_take_fractions() {
    let application = Application::with(Switches { fractions: Fractions::Taken, ..Switches::default() }).await;
    assert_eq!(application.ok("PUT", "/n/increment?value=1.5", None).await, Some(json!(1.5)));
    assert_eq!(application.ok("PUT", "/n/decrement?value=3", None).await, Some(json!(-1.5)));
    // A whole sum is an integer again.
    assert_eq!(application.ok("PUT", "/n/increment?value=2.5", None).await, Some(json!(1)));
    for step in ["NaN", "inf", "1,5", ""] {
        assert_eq!(application.error("PUT", &format!("/n/increment?value={step}"), None).await.0, 400, "{step}");
    }
    application.ok("PUT", "/n", json!({"value": "1.5"})).await;
    assert_eq!(application.error("PUT", "/n/increment?value=1.5", None).await.0, 400);
    application.ok("PUT", "/n", json!({"value": 1e308})).await;
    assert_eq!(application.error("PUT", "/n/increment?value=1.7e308", None).await.0, 400);
}
