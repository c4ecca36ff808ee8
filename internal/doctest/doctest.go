// Package doctest checks the pages in docs/: what they show is loaded, run and compared with what the product does.
//
//	go test ./internal/doctest
//
// It holds tests and nothing else, because docs/ has no Go. A page steers them with HTML comments, each before the block it is about:
//
//	<!-- file: NAME -->         save the block under NAME in the page's folder, where its commands run
//	<!-- env: NAME=VALUE -->    a variable for ${NAME} in the block
//	<!-- mistakes -->           the block must be refused
//	<!-- part -->               the block is a part of a file and is not loaded
//
// A yaml block with a line "version: 1" must load. In a console block, commands of ours that need no running node are run, and
// what is shown below one must be what it prints; "..." stands for any text within a line, and alone in a line for any lines.
package doctest
