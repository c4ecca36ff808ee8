package geo

import "slices"

// state is one row of the table of states: a name as databases spell it, in lower
// case, and the second part of its ISO 3166-2 code.
type state struct{ name, code string }

// states holds the states, the federal district and the territories of the United
// States, sorted by name. It is never written. The flat database layout has names
// only; nested ones carry the codes themselves.
var states = [...]state{
	{"alabama", "AL"},
	{"alaska", "AK"},
	{"american samoa", "AS"},
	{"arizona", "AZ"},
	{"arkansas", "AR"},
	{"california", "CA"},
	{"colorado", "CO"},
	{"connecticut", "CT"},
	{"delaware", "DE"},
	{"district of columbia", "DC"},
	{"florida", "FL"},
	{"georgia", "GA"},
	{"guam", "GU"},
	{"hawaii", "HI"},
	{"idaho", "ID"},
	{"illinois", "IL"},
	{"indiana", "IN"},
	{"iowa", "IA"},
	{"kansas", "KS"},
	{"kentucky", "KY"},
	{"louisiana", "LA"},
	{"maine", "ME"},
	{"maryland", "MD"},
	{"massachusetts", "MA"},
	{"michigan", "MI"},
	{"minnesota", "MN"},
	{"mississippi", "MS"},
	{"missouri", "MO"},
	{"montana", "MT"},
	{"nebraska", "NE"},
	{"nevada", "NV"},
	{"new hampshire", "NH"},
	{"new jersey", "NJ"},
	{"new mexico", "NM"},
	{"new york", "NY"},
	{"north carolina", "NC"},
	{"north dakota", "ND"},
	{"northern mariana islands", "MP"},
	{"ohio", "OH"},
	{"oklahoma", "OK"},
	{"oregon", "OR"},
	{"pennsylvania", "PA"},
	{"puerto rico", "PR"},
	{"rhode island", "RI"},
	{"south carolina", "SC"},
	{"south dakota", "SD"},
	{"tennessee", "TN"},
	{"texas", "TX"},
	{"u.s. virgin islands", "VI"},
	{"utah", "UT"},
	{"vermont", "VT"},
	{"virgin islands", "VI"},
	{"virginia", "VA"},
	{"washington", "WA"},
	{"washington d.c.", "DC"},
	{"washington dc", "DC"},
	{"washington, d.c.", "DC"},
	{"washington, dc", "DC"},
	{"west virginia", "WV"},
	{"wisconsin", "WI"},
	{"wyoming", "WY"},
}

// stateCode returns the code of a state of the US by its name, in any case, or "".
func stateCode(name string) string {
	i, ok := slices.BinarySearchFunc(states[:], name, func(s state, name string) int {
		return compareFold(s.name, name)
	})
	if !ok {
		return ""
	}
	return states[i].code
}

// compareFold compares a, in lower case, with b in any case, without the allocation
// of lowering b.
func compareFold(a, b string) int {
	for i := range min(len(a), len(b)) {
		c := b[i]
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		if a[i] != c {
			return int(a[i]) - int(c)
		}
	}
	return len(a) - len(b)
}
