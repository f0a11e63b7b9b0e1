//! Engines that decide whether somebody has access.

use std::collections::{HashMap, HashSet};
use std::hint::black_box;

use benches::house::BoxError;
use casbin::{CoreApi as _, DefaultModel, Enforcer, MemoryAdapter, MgmtApi as _};
use cedar_policy::{
    Authorizer, Context, Decision, Entities, Entity, EntityUid, PolicySet, Request, RestrictedExpression,
};
use regorus::languages::rego::compiler::Compiler;
use regorus::rvm::RegoVM;
use regorus::{Engine, Value};
use tokio::runtime::Runtime;

use crate::{CROWD, Timed};

/// Seconds since the epoch: before every end.
const NOW: i64 = 1_900_000_000;
const END: i64 = 2_000_000_000;

pub(crate) fn all(runtime: &Runtime) -> Result<Vec<Timed<'static>>, BoxError> {
    Ok(vec![cedar()?, regorus()?, casbin(runtime)?])
}

/// One policy; who has access until when stands in the entities.
fn cedar() -> Result<Timed<'static>, BoxError> {
    let policies: PolicySet = r#"
        permit (principal, action == Action::"GET", resource)
        when { principal in resource && context.now < principal.until };
    "#
    .parse()?;
    let user = |n: usize| -> Result<EntityUid, BoxError> { Ok(format!(r#"User::"u{n}""#).parse()?) };
    let admin: EntityUid = r#"Resource::"admin""#.parse()?;
    let mut entities = vec![Entity::new_no_attrs(admin.clone(), HashSet::new())];
    for n in 0..CROWD {
        let until = HashMap::from([("until".to_owned(), RestrictedExpression::new_long(END))]);
        entities.push(Entity::new(user(n)?, until, HashSet::from([admin.clone()]))?);
    }
    let entities = Entities::from_entities(entities, None)?;
    let context = Context::from_pairs([("now".to_owned(), RestrictedExpression::new_long(NOW))])?;
    let request = Request::new(
        user(CROWD / 2)?,
        r#"Action::"GET""#.parse()?,
        admin,
        context,
        None,
    )?;
    let authorizer = Authorizer::new();
    Ok(Timed::each("cedar", move || {
        let answer = authorizer.is_authorized(black_box(&request), &policies, &entities);
        assert_eq!(black_box(answer).decision(), Decision::Allow);
    }))
}

/// One rule, compiled for the virtual machine; who has access until when stands in the data.
fn regorus() -> Result<Timed<'static>, BoxError> {
    let mut engine = Engine::new();
    let rule = r#"
        package gate
        import rego.v1
        default allow := false
        allow if data.grants[input.principal][input.resource].until > input.now
    "#;
    engine.add_policy("gate.rego".to_owned(), rule.to_owned())?;
    let grants: Vec<_> = (0..CROWD)
        .map(|n| format!(r#""u{n}": {{"admin": {{"until": {END}}}}}"#))
        .collect();
    let data = Value::from_json_str(&format!(r#"{{"grants": {{{}}}}}"#, grants.join(",")))?;
    engine.add_data(data.clone())?;
    let policy = engine.compile_with_entrypoint(&"data.gate.allow".into())?;
    let program =
        Compiler::compile_from_policy(&policy, &["data.gate.allow"]).map_err(|error| error.to_string())?;
    let mut machine = RegoVM::new_with_policy(policy);
    machine.load_program(program);
    machine.set_data(data).map_err(|error| error.to_string())?;
    let input = format!(
        r#"{{"principal": "u{}", "resource": "admin", "now": {NOW}}}"#,
        CROWD / 2
    );
    let input = Value::from_json_str(&input)?;
    Ok(Timed::each("regorus", move || {
        machine.set_input(black_box(input.clone()));
        let answer = machine.execute_entry_point_by_index(0);
        assert!(matches!(black_box(answer), Ok(Value::Bool(true))));
    }))
}

/// One policy for each who has access; it knows no time. The one who asks is in the middle.
fn casbin(runtime: &Runtime) -> Result<Timed<'static>, BoxError> {
    let enforcer = runtime.block_on(async {
        let model = DefaultModel::from_str(
            "
[request_definition]
r = sub, obj, act
[policy_definition]
p = sub, obj, act
[role_definition]
g = _, _
[policy_effect]
e = some(where (p.eft == allow))
[matchers]
m = g(r.sub, p.sub) && r.obj == p.obj && r.act == p.act
",
        )
        .await?;
        let mut enforcer = Enforcer::new(model, MemoryAdapter::default()).await?;
        let policies = (0..CROWD).map(|n| vec![format!("u{n}"), "admin".to_owned(), "GET".to_owned()]);
        enforcer.add_policies(policies.collect()).await?;
        casbin::Result::Ok(enforcer)
    });
    let enforcer = enforcer.map_err(|error| error.to_string())?;
    let who = format!("u{}", CROWD / 2);
    Ok(Timed::each("casbin", move || {
        let allowed = enforcer.enforce((black_box(who.as_str()), "admin", "GET"));
        assert!(matches!(black_box(allowed), Ok(true)));
    }))
}
