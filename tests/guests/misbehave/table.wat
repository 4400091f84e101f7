;; Exports `bodega:misbehave/table@1.0.0`; the tests assemble it and the manifest wires it as a dependency.
(component
  (core module $module
    (table $entries 1 funcref)
    (func (export "grow") (param $entries i32) (result i32)
      (table.grow $entries (ref.null func) (local.get $entries))))
  (core instance $instance (instantiate $module))
  (func $grow (param "entries" u32) (result s32)
    (canon lift (core func $instance "grow")))
  (instance $table (export "grow" (func $grow)))
  (export "bodega:misbehave/table@1.0.0" (instance $table)))
