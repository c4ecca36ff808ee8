package discover

import "testing"

func FuzzSavedSets(f *testing.F) {
	f.Add([]byte(`{"format":1,"sets":[{"pool":"p","source":"x","good":"2026-01-01T00:00:00Z","endpoints":[{"ID":"192.0.2.1:80","Address":"192.0.2.1:80","Weight":1}]}]}`))
	f.Add([]byte(`{"format":1,"sets":[null]}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		sets, err := parseSets(text)
		for _, s := range sets {
			if err != nil || len(s.Endpoints) == 0 || s.Pool == "" {
				t.Errorf("%v: %+v", err, s)
			}
		}
	})
}
