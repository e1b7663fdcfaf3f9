{{/* What watches the daemons: the names and checks that several templates here need. */}}

{{/* The `job` of every series of this release, and so of its alerts. */}}
{{- define "tirelessd.job" -}}
{{- default (include "tirelessd.fullname" .) .Values.monitoring.job -}}
{{- end -}}

{{/* A number without an exponent, as grafana/rules has it; a text as it is. */}}
{{- define "tirelessd.number" -}}
{{- if kindIs "string" . -}}{{- . -}}
{{- else -}}{{- regexReplaceAll "\\.?0+$" (printf "%.6f" (float64 .)) "" -}}{{- end -}}
{{- end -}}

{{/* What a monitor does to the labels of its targets.
The operator would call the job after the Service or the monitor. A pod's name, unlike its address,
stays when the pod of a StatefulSet is replaced, and so do its series. */}}
{{- define "tirelessd.relabelings" -}}
- {action: replace, targetLabel: job, replacement: {{ include "tirelessd.job" . | quote }}}
- {action: replace, sourceLabels: [__meta_kubernetes_pod_name], targetLabel: instance}
{{- end -}}

{{/* How a monitor scrapes: {"root": $, "monitor": its values}. */}}
{{- define "tirelessd.scrape" -}}
- port: ops
  path: /metrics
  interval: {{ .monitor.interval }}
  scrapeTimeout: {{ .monitor.scrapeTimeout }}
  relabelings:
    {{- include "tirelessd.relabelings" .root | nindent 4 }}
  {{- with .monitor.metricRelabelings }}
  metricRelabelings:
    {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end -}}

{{/* One rule with what this installation chose: {"root": $, "rule": …}; nothing if it is off. */}}
{{- define "tirelessd.rule" -}}
{{- $chosen := .root.Values.monitoring.prometheusRule -}}
{{- $alert := get $chosen.alerts (.rule.alert | default "" | trimPrefix "Tirelessd") | default dict -}}
{{- if or .rule.record $alert.enabled -}}
{{- $texts := merge (omit $alert "enabled") (dict
  "job" (include "tirelessd.job" .root)
  "namespace" .root.Release.Namespace
  "runbooks" ($chosen.runbooks | trimSuffix "/")
  "dashboards" ($chosen.dashboards | trimSuffix "/")
) -}}
{{- $written := toYaml .rule -}}
{{- range $name, $value := $texts -}}
{{- $written = replace (printf "${%s}" $name) (include "tirelessd.number" $value) $written -}}
{{- end -}}
{{- $rule := fromYaml $written -}}
{{- range list "for" "keep_firing_for" -}}
{{- if eq (get $rule . | toString) "0s" -}}{{- $_ := unset $rule . -}}{{- end -}}
{{- end -}}
{{- if .rule.alert -}}{{- $_ := set $rule "labels" (merge $rule.labels $chosen.alertLabels) -}}{{- end -}}
{{- toYaml $rule -}}
{{- end -}}
{{- end -}}

{{/* One side of an inhibition: {"root": $, "alerts": […], "match": […]}; nothing if all that it
names are off. */}}
{{- define "tirelessd.side" -}}
{{- $alerts := .root.Values.monitoring.prometheusRule.alerts -}}
{{- $on := list -}}
{{- range .alerts -}}
{{- if (get $alerts .).enabled -}}{{- $on = append $on . -}}{{- end -}}
{{- end -}}
{{- if or $on (not .alerts) -}}
{{- $match := .match -}}
{{- if eq (len $on) 1 -}}
{{- $name := dict "name" "alertname" "matchType" "=" "value" (printf "Tirelessd%s" (first $on)) -}}
{{- $match = prepend $match $name -}}
{{- else if $on -}}
{{- $names := printf "Tirelessd(%s)" (join "|" $on) -}}
{{- $match = prepend $match (dict "name" "alertname" "matchType" "=~" "value" $names) -}}
{{- end -}}
{{- /* As JSON: a bare `=` is no text to every reader of YAML. */ -}}
{{- toJson $match -}}
{{- end -}}
{{- end -}}
