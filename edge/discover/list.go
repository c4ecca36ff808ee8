package discover

import (
	"encoding/json"
	"fmt"
	"strconv"

	"go.yaml.in/yaml/v4"

	"github.com/meridian-edge/meridian/config"
)

// group is one element of Prometheus's file_sd and http_sd form
// (https://prometheus.io/docs/prometheus/latest/configuration/configuration/#file_sd_config).
type group struct {
	Targets []string          `json:"targets" yaml:"targets"`
	Labels  map[string]string `json:"labels" yaml:"labels"`
}

// parseList reads endpoints in file_sd form, JSON or YAML. Of the labels weight and region count; others are for other readers.
// One bad target refuses the whole: half of a list would look like endpoints that vanished.
func parseList(data []byte, source *config.Discovery) ([]config.Endpoint, error) {
	var groups []group
	var err error
	if json.Valid(data) {
		err = json.Unmarshal(data, &groups)
	} else {
		err = yaml.Unmarshal(data, &groups)
	}
	if err != nil {
		return nil, fmt.Errorf("it is not in file_sd form: %w", err)
	}
	var list []config.Endpoint
	seen := map[config.Endpoint]bool{}
	for _, g := range groups {
		weight, region := source.Weight, source.Region
		if r, given := g.Labels["region"]; given {
			region = r
		}
		if s, given := g.Labels["weight"]; given {
			if weight, err = strconv.Atoi(s); err != nil || weight < 0 || weight > 255 {
				return nil, fmt.Errorf("label weight: %q is no number from 0 to 255", s)
			}
		}
		for _, t := range g.Targets {
			e, err := config.ParseEndpoint(t)
			if err != nil {
				return nil, fmt.Errorf("target %q %w", t, err)
			}
			if seen[target(e)] {
				continue
			}
			seen[target(e)] = true
			e.Weight, e.Region = weight, region
			list = append(list, e)
		}
	}
	return list, nil
}
