package main

import (
	"context"
	"errors"
	"io"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/textparse"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/util/annotations"
)

// What Prometheus would have stored of some scrapes, in memory: its own database would bring the clients of three clouds into the build.
type past struct {
	series map[string]*promql.Series
	engine *promql.Engine
}

func remember(scrapes []scrape) (*past, error) {
	engine := promql.NewEngine(promql.EngineOpts{MaxSamples: 10_000_000, Timeout: 10 * time.Second})
	made := &past{series: map[string]*promql.Series{}, engine: engine}
	for _, each := range scrapes {
		if err := made.append(each); err != nil {
			return nil, err
		}
	}
	return made, nil
}

// One scrape: the page's series with the target's labels, and `up`.
func (p *past) append(each scrape) error {
	up := labels.FromStrings(labels.MetricName, "up")
	if each.Page == nil {
		p.add(up, each, 0)
		return nil
	}
	p.add(up, each, 1)
	page := textparse.NewPromParser([]byte(*each.Page), labels.NewSymbolTable(), false)
	for {
		entry, err := page.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if entry != textparse.EntrySeries {
			continue
		}
		var own labels.Labels
		page.Labels(&own)
		_, _, value := page.Series()
		p.add(own, each, value)
	}
}

func (p *past) add(own labels.Labels, from scrape, value float64) {
	builder := labels.NewBuilder(own)
	for name, text := range from.Labels {
		builder.Set(name, text)
	}
	all := builder.Labels()
	key := all.String()
	if p.series[key] == nil {
		p.series[key] = &promql.Series{Metric: all}
	}
	p.series[key].Floats = append(p.series[key].Floats, promql.FPoint{T: from.AtSeconds * 1000, F: value})
}

func (p *past) holds(expression string, atSeconds int64) (bool, error) {
	queryable := &storage.MockQueryable{MockQuerier: &storage.MockQuerier{SelectMockFunction: p.find}}
	query, err := p.engine.NewInstantQuery(context.Background(), queryable, nil, expression, time.Unix(atSeconds, 0))
	if err != nil {
		return false, err
	}
	defer query.Close()
	vector, err := query.Exec(context.Background()).Vector()
	return len(vector) > 0, err
}

func (p *past) find(_ bool, _ *storage.SelectHints, matchers ...*labels.Matcher) storage.SeriesSet {
	found := &foundSeries{at: -1}
	for _, each := range p.series {
		if matches(each.Metric, matchers) {
			found.all = append(found.all, promql.NewStorageSeries(*each))
		}
	}
	return found
}

func matches(own labels.Labels, matchers []*labels.Matcher) bool {
	for _, each := range matchers {
		if !each.Matches(own.Get(each.Name)) {
			return false
		}
	}
	return true
}

type foundSeries struct {
	all []storage.Series
	at  int
}

func (f *foundSeries) Next() bool                        { f.at++; return f.at < len(f.all) }
func (f *foundSeries) At() storage.Series                { return f.all[f.at] }
func (f *foundSeries) Err() error                        { return nil }
func (f *foundSeries) Warnings() annotations.Annotations { return nil }
