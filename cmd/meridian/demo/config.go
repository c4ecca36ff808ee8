package demo

import (
	"bytes"
	_ "embed"
	"errors"
	"fmt"
	"os"
	"text/template"

	"github.com/meridian-edge/meridian/config"
)

//go:embed edge.yaml.tmpl
var configText string

// configData is what the template sees.
type configData struct {
	*world
	Edge location
	Host string
	Zone string
}

// writeConfig writes the configuration of an edge and loads it as `meridian run` would. A warning is a mistake here: a demo
// that shows doubtful configurations teaches them.
func (w *world) writeConfig(edge location) (*config.Config, error) {
	t, err := template.New(edge.Name).Option("missingkey=error").Parse(configText)
	if err != nil {
		return nil, err
	}
	var text bytes.Buffer
	if err := t.Execute(&text, configData{world: w, Edge: edge, Host: host, Zone: zoneName}); err != nil {
		return nil, err
	}
	path := w.configFile(edge)
	if err := os.WriteFile(path, text.Bytes(), 0o600); err != nil {
		return nil, err
	}
	cfg, warnings, err := config.Load(path)
	if err != nil {
		return nil, fmt.Errorf("configuration of edge %s: %w", edge.Name, err)
	}
	if len(warnings) > 0 {
		return nil, errors.New("configuration of edge " + edge.Name + ": " + warnings[0].Error())
	}
	return cfg, nil
}
