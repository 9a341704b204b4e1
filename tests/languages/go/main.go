// 2,000 requests, a failure, an abort, a hook; and the program ends while requests run.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"
)

func must(ok bool, what string) {
	if !ok {
		fmt.Fprintln(os.Stderr, "not true:", what)
		os.Exit(1)
	}
}

func main() {
	url := os.Getenv("RF_TEST_HTTP")
	background := context.Background()
	session, err := NewSession(64)
	must(err == nil, "a session")

	var all sync.WaitGroup
	for i := 0; i < 2000; i++ {
		all.Add(1)
		go func() {
			defer all.Done()
			response, err := session.Get(background, url+"/hello")
			must(err == nil && string(response.Content) == "Hello, world!", "each answer is whole")
		}()
	}
	all.Wait()

	_, err = session.Get(background, "http://127.0.0.1:1/")
	var failed *Error
	must(errors.As(err, &failed) && failed.Kind == "RF_ERROR_CONNECTION" && failed.URL == "http://127.0.0.1:1/", "a failure")
	cancelled, cancel := context.WithCancel(background)
	time.AfterFunc(50*time.Millisecond, cancel)
	_, err = session.Get(cancelled, url+"/delay/60")
	must(errors.Is(err, context.Canceled), "an abort")

	seen := ""
	_, err = session.Get(background, url+"/get", func(r *Response) error { seen = r.ContentType; return nil })
	must(err == nil && seen == "application/json", "a hook")
	_, err = session.Get(background, url+"/get", func(r *Response) error { return errors.New("not this one") })
	must(errors.As(err, &failed) && failed.Kind == "RF_ERROR_HOOK" && failed.Message == "not this one", "a hook that fails")

	for i := 0; i < 20; i++ {
		go session.Get(background, url+"/delay/60", func(*Response) error { return nil })
	}
	time.Sleep(50 * time.Millisecond)
	must(session.Close() == nil, "closing")
	fmt.Println("done")
}
