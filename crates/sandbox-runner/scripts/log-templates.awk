# Groups the lines of logs by template: numbers, ids, addresses and times become placeholders, equal lines are counted.
# Run as `awk --sandbox --file=log-templates.awk -- FILE...` in the analyze lane: no command, no pipe and no file but its arguments.
# Prints `COUNT<TAB>TEMPLATE<TAB>FIRST LINE`, the most frequent first, at most 200.

BEGIN {
  most_templates = 5000
  most_printed = 200
}

{
  line = $0
  # The time that `kubectl logs --timestamps` puts before each line.
  sub(/^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:.]+(Z|[+-][0-9:]+) /, "", line)
  if (line ~ /^[[:space:]]*$/) next
  line = substr(line, 1, 2000)
  template = line
  gsub(/[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}:[0-9]{2}([.,][0-9]+)?(Z|[+-][0-9]{2}:?[0-9]{2})?/, "<time>", template)
  gsub(/[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}/, "<uuid>", template)
  gsub(/[0-9]{1,3}\.[0-9]{1,3}\.[0-9]{1,3}\.[0-9]{1,3}(:[0-9]+)?/, "<address>", template)
  gsub(/0x[0-9a-fA-F]+/, "<hex>", template)
  gsub(/[0-9]+/, "<n>", template)
  if (!(template in count)) {
    if (templates >= most_templates) {
      left_out++
      next
    }
    templates++
    order[template] = templates
    first[template] = line
  }
  count[template]++
}

# The more frequent first; among equals, what came first.
function by_count(a, count_a, b, count_b) {
  if (count_a != count_b) return count_b - count_a
  return order[a] - order[b]
}

END {
  PROCINFO["sorted_in"] = "by_count"
  for (template in count) {
    if (++printed > most_printed) break
    printf "%d\t%s\t%s\n", count[template], template, first[template]
  }
  if (templates > most_printed) printf "0\t<%d more templates>\t\n", templates - most_printed
  if (left_out) printf "0\t<%d lines beyond %d templates>\t\n", left_out, most_templates
}
