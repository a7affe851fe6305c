package sdk

import (
	"encoding/json"
	"reflect"

	"github.com/invopop/jsonschema"
	"github.com/stemd/stem/plugin"
	pluginv1 "github.com/stemd/stem/plugin/proto/stem/plugin/v1"
)

// manifest is what the plugin says of itself.
func (p *Plugin) manifest() *pluginv1.Manifest {
	m := &pluginv1.Manifest{
		Name: p.name, Version: p.version, Protocol: plugin.ProtocolVersion, Sdk: "go/" + Version,
		Features: []string{plugin.FeatureRegister, plugin.FeatureRecall, plugin.FeatureDump}, ConfigSchema: p.configSchema,
	}
	for _, h := range p.order {
		m.Tasks = append(m.Tasks, &pluginv1.TaskSpec{
			Name: h.spec.Name, Description: h.spec.Description, Tags: h.spec.Tags, Idempotent: h.spec.Idempotent, Exclusive: h.spec.Exclusive,
			Options: h.spec.Options.Proto(), ArgsSchema: schemaOf(h.args), ResultSchema: schemaOf(h.result),
		})
	}
	return m
}

// schemaOf is the JSON Schema of a Go value's type; nil for nil, which means anything. Unknown fields are refused, so that a
// misspelt one is found when the task is enqueued.
func schemaOf(v any) json.RawMessage {
	if v == nil || reflect.TypeOf(v) == reflect.TypeFor[json.RawMessage]() {
		return nil
	}
	r := jsonschema.Reflector{Anonymous: true, ExpandedStruct: reflect.TypeOf(v).Kind() == reflect.Struct}
	b, err := json.Marshal(r.Reflect(v))
	if err != nil {
		return nil // a type without a schema takes anything
	}
	return b
}
