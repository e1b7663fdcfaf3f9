{{/* What scales the pods that attempt: of which workload, by which signals, how fast. */}}

{{/* The Deployment whose pods have slots. */}}
{{- define "tirelessd.scaled" -}}
{{- $name := include "tirelessd.fullname" . -}}
{{- if .Values.split.enabled -}}{{- printf "%s-slots" $name -}}{{- else -}}{{- $name -}}{{- end -}}
{{- end -}}

{{/* What cannot work together; each message begins with the value that is wrong. */}}
{{- define "tirelessd.scalingCheck" -}}
{{- $scaling := .Values.autoscaling -}}
{{- $min := int $scaling.minReplicas -}}
{{- $reads := or (eq $scaling.kind "hpa") (eq $scaling.keda.signals "prometheus") -}}
{{- if ne (include "tirelessd.shape" .) "postgresql" -}}
{{- fail (printf "autoscaling.kind: %q needs a store that pods can share: the items of an embedded one stay on the volume of its pod, where no other pod can work at them. Use store.postgresql." $scaling.kind) -}}
{{- end -}}
{{- if gt $min (int $scaling.maxReplicas) -}}
{{- fail (printf "autoscaling.minReplicas: %d is more than autoscaling.maxReplicas, %d." $min (int $scaling.maxReplicas)) -}}
{{- end -}}
{{- if and $reads (not .Values.monitoring.prometheusRule.enabled) (not $scaling.hasRulesElsewhere) -}}
{{- fail "monitoring.prometheusRule.enabled: scaling goes by series that these rules record. Switch them on, or say autoscaling.hasRulesElsewhere where they are installed in another way." -}}
{{- end -}}
{{- if eq $min 0 -}}
{{- if or (ne $scaling.kind "keda") (ne $scaling.keda.signals "prometheus") -}}
{{- fail "autoscaling.minReplicas: 0 takes autoscaling.kind keda and its signals from prometheus: an HPA cannot wake what sleeps, and a pod that sleeps answers nobody." -}}
{{- end -}}
{{- if not .Values.split.enabled -}}
{{- fail "autoscaling.minReplicas: 0 would leave nobody to accept items; with split.enabled the pods that accept stay." -}}
{{- end -}}
{{- if not .Values.store.postgresql.secret.name -}}
{{- fail "autoscaling.minReplicas: 0 has KEDA look into the database, whose URL it takes from store.postgresql.secret." -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* How fast, the same for KEDA and for an HPA. */}}
{{- define "tirelessd.behavior" -}}
{{- $up := .Values.autoscaling.scaleUp -}}
{{- $down := .Values.autoscaling.scaleDown -}}
scaleUp:
  stabilizationWindowSeconds: {{ $up.stabilizationWindowSeconds }}
  selectPolicy: Max
  policies:
    - {type: Percent, value: {{ $up.percent }}, periodSeconds: {{ $up.periodSeconds }}}
    - {type: Pods, value: {{ $up.pods }}, periodSeconds: {{ $up.periodSeconds }}}
scaleDown:
  stabilizationWindowSeconds: {{ $down.stabilizationWindowSeconds }}
  selectPolicy: Max
  policies:
    - {type: Pods, value: {{ $down.pods }}, periodSeconds: {{ $down.periodSeconds }}}
{{- end -}}

{{/* A recorded series as one number: {"root": $, "series": …}.
Nothing is an error to KEDA, which then keeps the pods that there are. Where there may be none of
them, nothing means none if the pods that accept are all seen, and nobody has slots. */}}
{{- define "tirelessd.signal" -}}
{{- $picked := printf "{namespace=%q,job=%q}" .root.Release.Namespace (include "tirelessd.job" .root) -}}
max({{ .series }}{{ $picked }})
{{- if eq (int .root.Values.autoscaling.minReplicas) 0 }} or (vector(0) and on () (min(up{{ $picked }}) == 1) unless on () (max(tirelessd_slots{{ $picked }}) > 0))
{{- end -}}
{{- end -}}

{{/* 1 while there is work for a pod: an attempt runs, or an item is due or soon will be.
Probes of the indexes of claims, one for each queue and priority, however many items wait. */}}
{{- define "tirelessd.wake" -}}
{{- $queues := list -}}
{{- range $name, $_ := (include "tirelessd.config" . | fromYaml).queues -}}
{{- $queues = append $queues (printf "'%s'" (replace "'" "''" $name)) -}}
{{- end -}}
{{- $ours := printf "ARRAY[%s]" (join ", " $queues) -}}
SELECT (
  EXISTS (SELECT FROM items WHERE queue = ANY ({{ $ours }}) AND owner IS NOT NULL)
  {{- range list "= 0" "> 0" }}
  OR EXISTS (
    SELECT FROM unnest({{ $ours }}) AS ours (queue),
      unnest(ARRAY[0,1,2,3,4,5,6,7,8,9]::smallint[]) AS level (priority),
      LATERAL (
        SELECT FROM items WHERE items.queue = ours.queue AND items.priority = level.priority
          AND items.state = 'queued' AND items.lost_leases {{ . }}
          AND items.due_at <= tirelessd_now() + {{ $.Values.autoscaling.keda.wakeAheadSeconds }}
        ORDER BY items.due_at, items.number LIMIT 1
      ) AS due
  )
  {{- end }}
)::int
{{- end -}}
