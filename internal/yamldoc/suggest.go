package yamldoc

import "strings"

// Nearest returns the candidate that name was most probably meant to be, or "" when none is near.
func Nearest(name string, candidates []string) string { return nearest(name, candidates) }

// nearest returns the candidate that name was most probably meant to be, or "" when none is near: one with few slips of the pen
// between, or one that name begins with or is the beginning of. Of equally near ones the first wins.
func nearest(name string, candidates []string) string {
	best, bestDistance := "", maxDistance(name)+1
	lower := strings.ToLower(name)
	for _, c := range candidates {
		if c == name {
			continue
		}
		d := distance(lower, strings.ToLower(c), bestDistance)
		if d < bestDistance && d < len(c) {
			best, bestDistance = c, d
		}
	}
	if best == "" && len(name) >= 3 {
		for _, c := range candidates {
			if fold := strings.ToLower(c); c != name && len(c) >= 3 && (strings.HasPrefix(lower, fold) || strings.HasPrefix(fold, lower)) {
				return c
			}
		}
	}
	return best
}

// maxDistance is how many slips of the pen a name of this length may contain: none in one or two letters, where every
// other name is near, and one in three after that.
func maxDistance(name string) int {
	return min(len(name)/3, 3)
}

// distance is the optimal string alignment distance (Damerau-Levenshtein without overlapping transpositions) of a and b in
// bytes. It may return limit as soon as the distance cannot be lower.
func distance(a, b string, limit int) int {
	if max(len(a)-len(b), len(b)-len(a)) >= limit {
		return limit
	}
	var before []int
	last := make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row := make([]int, len(b)+1)
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			row[j] = min(last[j]+1, row[j-1]+1, last[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, last = last, row
	}
	return min(last[len(b)], limit)
}
