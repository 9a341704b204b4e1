module requests_futures

go 1.18
