//! Variables for guests: `spin:variables@3.0.0`, `fermyon:spin/variables@2.0.0` and `wasi:config/store@0.2.0-draft-2024-09-27`.

use wasmtime::StoreContextMut;
use wasmtime::component::{Accessor, ComponentType, Lift, Linker, Lower};

use crate::engine::state::GuestState;
use crate::template::check_name;

/// `variant error` of the Spin interfaces.
#[derive(ComponentType, Lift, Lower, Debug, Clone)]
#[component(variant)]
enum Error {
    #[component(name = "invalid-name")]
    InvalidName(String),
    #[component(name = "undefined")]
    Undefined(String),
    #[component(name = "provider")]
    Provider(String),
    #[component(name = "other")]
    Other(String),
}

/// `variant error` of the WASI interface.
#[derive(ComponentType, Lift, Lower, Debug, Clone)]
#[component(variant)]
enum ConfigError {
    #[component(name = "upstream")]
    Upstream(String),
    #[component(name = "io")]
    Io(String),
}

pub(super) fn add_to_linker(linker: &mut Linker<GuestState>) -> wasmtime::Result<()> {
    linker
        .instance("fermyon:spin/variables@2.0.0")?
        .func_wrap("get", |store: StoreContextMut<'_, GuestState>, (name,): (String,)| {
            Ok((get(store.data(), &name),))
        })?;
    linker.instance("spin:variables/variables@3.0.0")?.func_wrap_concurrent(
        "get",
        |accessor: &Accessor<GuestState>, (name,): (String,)| {
            Box::pin(async move { Ok((accessor.with(|mut access| get(access.get(), &name)),)) })
        },
    )?;
    let mut config = linker.instance("wasi:config/store@0.2.0-draft-2024-09-27")?;
    config.func_wrap("get", |store: StoreContextMut<'_, GuestState>, (key,): (String,)| {
        Ok((Ok::<_, ConfigError>(store.data().component.variables.get(&key).map(str::to_owned)),))
    })?;
    config.func_wrap("get-all", |store: StoreContextMut<'_, GuestState>, (): ()| {
        let variables = store.data().component.variables.iter();
        let all: Vec<(String, String)> = variables.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        Ok((Ok::<_, ConfigError>(all),))
    })
}

fn get(state: &GuestState, name: &str) -> Result<String, Error> {
    check_name(name).map_err(|reason| Error::InvalidName(format!("{name:?}: {reason}")))?;
    state
        .component
        .variables
        .get(name)
        .map(str::to_owned)
        .ok_or_else(|| Error::Undefined(format!("component `{}` has no variable `{name}`", state.component.id)))
}
