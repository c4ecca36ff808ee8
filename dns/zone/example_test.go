package zone_test

import (
	"context"
	"fmt"
	"os"

	"github.com/meridian-edge/meridian/dns/zone"
)

func ExampleParse() {
	origin, _ := zone.ParseName("example.org")
	text := "$TTL 1h\n@ SOA ns1 host 1 2h 1h 2w 5m\n@ NS ns1\nns1 A 192.0.2.53\nwww CNAME ns1\n"
	d, _, err := zone.Parse([]byte(text), zone.ParseOptions{Origin: origin, File: "example.org.zone"})
	fmt.Println(d.Len(), err)

	_, _, err = zone.Parse([]byte(text+"ftp A 192.0.2.300\n"), zone.ParseOptions{Origin: origin, File: "example.org.zone"})
	fmt.Println(err)
	// Output:
	// 4 <nil>
	// example.org.zone:6: ftp.example.org. A: "192.0.2.300" is not an IPv4 address (as in A 192.0.2.1)
}

func ExampleDiff() {
	origin, _ := zone.ParseName("example.org")
	parse := func(text string) *zone.Data {
		d, _, err := zone.Parse([]byte(text), zone.ParseOptions{Origin: origin})
		if err != nil {
			fmt.Println(err)
		}
		return d
	}
	removed, added := zone.Diff(
		parse("$TTL 60\n@ SOA ns1 host 1 2h 1h 2w 5m\nwww A 192.0.2.1\n"),
		parse("$TTL 60\n@ SOA ns1 host 2 2h 1h 2w 5m\nwww A 192.0.2.1\nwww A 192.0.2.2\n"),
	)
	for r := range removed {
		fmt.Printf("- %s\n", zone.AppendText(nil, r))
	}
	for r := range added {
		fmt.Printf("+ %s\n", zone.AppendText(nil, r))
	}
	// Output:
	// - example.org.	60	IN	SOA	ns1.example.org. host.example.org. 1 7200 3600 1209600 300
	// + example.org.	60	IN	SOA	ns1.example.org. host.example.org. 2 7200 3600 1209600 300
	// + www.example.org.	60	IN	A	192.0.2.2
}

func ExampleNewLoader() {
	dir, err := os.MkdirTemp("", "zones")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	if err := os.WriteFile(dir+"/example.org.zone", []byte("$TTL 60\n@ SOA ns.example.net. host 1 2h 1h 2w 5m\n@ NS ns.example.net.\n"), 0o600); err != nil {
		fmt.Println(err)
	}
	loader := zone.NewLoader(zone.LoaderOptions{Dir: dir})
	sources, err := loader.Sources()
	if err != nil {
		fmt.Println(err)
	}
	zones, err := loader.Load(context.Background(), nil, sources)
	if err != nil {
		fmt.Println(err)
	}
	for z := range zones.All() {
		fmt.Println(z.Name, z.Data.Len(), z.Err)
	}
	// Output: example.org 2 <nil>
}
