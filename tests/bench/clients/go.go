// Go's net/http: a goroutine for each request in flight, one transport.
package main

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net/http"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

func fail(what any) {
	fmt.Fprintln(os.Stderr, "failed:", what)
	os.Exit(1)
}

func cpu() (user, system float64) {
	var usage syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &usage)
	seconds := func(time syscall.Timeval) float64 { return float64(time.Sec) + float64(time.Usec)/1e6 }
	return seconds(usage.Utime), seconds(usage.Stime)
}

// A line of /proc/self/status in KB: VmRSS, or VmHWM for the most there was.
func memoryKb(name string) int64 {
	status, _ := os.ReadFile("/proc/self/status")
	for _, line := range strings.Split(string(status), "\n") {
		if fields := strings.Fields(line); len(fields) > 1 && fields[0] == name+":" {
			kb, _ := strconv.ParseInt(fields[1], 10, 64)
			return kb
		}
	}
	return 0
}

func main() {
	if len(os.Args) == 2 && os.Args[1] == "version" {
		fmt.Println(runtime.Version())
		return
	}
	asked := map[string]string{}
	for _, argument := range os.Args[1:] {
		name, value, _ := strings.Cut(argument, "=")
		asked[name] = value
	}
	number := func(name string) int {
		value, _ := strconv.Atoi(asked[name])
		return value
	}
	inFlight, expect := number("in-flight"), int64(number("expect"))
	body := bytes.Repeat([]byte("abcdefghijklmnopqrstuvwxyz"), number("body")/26+1)[:number("body")]
	transport := &http.Transport{MaxIdleConnsPerHost: inFlight, MaxIdleConns: 0}
	if asked["ca"] != "" {
		pem, err := os.ReadFile(asked["ca"])
		if err != nil {
			fail(err)
		}
		roots := x509.NewCertPool()
		roots.AppendCertsFromPEM(pem)
		transport.TLSClientConfig = &tls.Config{RootCAs: roots, ClientSessionCache: tls.NewLRUClientSessionCache(64)}
	}
	client := &http.Client{Transport: transport}
	var resumed int64

	one := func(url string) {
		var reader io.Reader
		if len(body) > 0 {
			reader = bytes.NewReader(body)
		}
		request, err := http.NewRequest(asked["method"], url, reader)
		if err != nil {
			fail(err)
		}
		request.Close = asked["fresh"] == "1"
		response, err := client.Do(request)
		if err != nil {
			fail(err)
		}
		// What is announced is reserved, as the other clients do.
		var content bytes.Buffer
		if response.ContentLength > 0 {
			content.Grow(int(response.ContentLength) + bytes.MinRead)
		}
		_, err = content.ReadFrom(response.Body)
		response.Body.Close()
		if err != nil || response.StatusCode > 299 || (expect >= 0 && int64(content.Len()) != expect) {
			fail(response.Status)
		}
		if content.Len() > 0 && content.Bytes()[0] == 'r' {
			atomic.AddInt64(&resumed, 1)
		}
	}
	run := func(url string, requests int) {
		var started int64
		var group sync.WaitGroup
		resumed = 0
		for i := 0; i < inFlight; i++ {
			group.Add(1)
			go func() {
				defer group.Done()
				for atomic.AddInt64(&started, 1) <= int64(requests) {
					one(url)
				}
			}()
		}
		group.Wait()
	}

	run(asked["warm-url"], number("warm"))
	user, system := cpu()
	before, begin := memoryKb("VmRSS"), time.Now()
	run(asked["url"], number("requests"))
	wall := time.Since(begin).Seconds()
	userAfter, systemAfter := cpu()
	fmt.Printf("{\"requests\": %d, \"resumed\": %d, \"wall_s\": %.6f, \"user_s\": %.6f, \"system_s\": %.6f, "+
		"\"peak_kb\": %d, \"before_kb\": %d}\n",
		number("requests"), resumed, wall, userAfter-user, systemAfter-system, memoryKb("VmHWM"), before)
}
