// Package deploytest checks the files in deploy/: the systemd unit, the Grafana dashboard, the Prometheus rules and alerts.
//
//	go test ./internal/deploytest
//
// It holds tests and nothing else, because deploy/ itself has no Go. What can be checked in plain Go is checked there;
// systemd-analyze and promtool are asked too where they are installed.
package deploytest
