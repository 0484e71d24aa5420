package main

import (
	"context"
	"fmt"
	"time"

	lua "github.com/yuin/gopher-lua"
)

// Argo CD gives a script one second.
const limit = time.Second

// runLua runs a health check with the libraries that Argo CD opens and the object as global obj; the answer is the table that it returns.
func runLua(script string, object map[string]any) (map[string]string, error) {
	state := lua.NewState(lua.Options{SkipOpenLibs: true})
	defer state.Close()
	for name, open := range map[string]lua.LGFunction{
		lua.LoadLibName:   lua.OpenPackage,
		lua.BaseLibName:   lua.OpenBase,
		lua.TabLibName:    lua.OpenTable,
		lua.StringLibName: lua.OpenString,
		lua.MathLibName:   lua.OpenMath,
	} {
		state.Push(state.NewFunction(open))
		state.Push(lua.LString(name))
		state.Call(1, 0)
	}
	deadline, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	state.SetContext(deadline)
	state.SetGlobal("obj", toLua(state, object))
	if err := state.DoString(script); err != nil {
		return nil, err
	}
	answer, ok := state.Get(-1).(*lua.LTable)
	if !ok {
		return nil, fmt.Errorf("the script answered %s, not a table", state.Get(-1).Type())
	}
	health := map[string]string{}
	answer.ForEach(func(key, value lua.LValue) { health[key.String()] = value.String() })
	return health, nil
}

func toLua(state *lua.LState, value any) lua.LValue {
	switch value := value.(type) {
	case bool:
		return lua.LBool(value)
	case float64:
		return lua.LNumber(value)
	case string:
		return lua.LString(value)
	case []any:
		table := state.CreateTable(len(value), 0)
		for _, member := range value {
			table.Append(toLua(state, member))
		}
		return table
	case map[string]any:
		table := state.CreateTable(0, len(value))
		for key, member := range value {
			table.RawSetString(key, toLua(state, member))
		}
		return table
	default:
		return lua.LNil
	}
}
