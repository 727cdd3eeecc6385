package lakeferry;

import java.net.URI;
import java.net.URLEncoder;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.charset.StandardCharsets;
import java.util.Set;
import java.util.TreeSet;

/** The S3 endpoint behind its gate: a request whose path holds a certain text waits until it is let go. */
final class Store {
    private final String endpoint;
    private final HttpClient client = HttpClient.newHttpClient();

    Store(String endpoint) {
        this.endpoint = endpoint;
    }

    String endpoint() {
        return endpoint;
    }

    /** Holds requests whose path has `part`, from now on; those held that have it not are let go. */
    void hold(String part) {
        call("hold?" + part);
    }

    /** Lets go `count` of the requests that are held, the oldest first; later ones are still held. */
    void release(int count) {
        call("release?" + count);
    }

    /** Lets go everything, and holds nothing from now on. */
    void open() {
        call("open");
    }

    /** How many requests wait. */
    int held() {
        return Integer.parseInt(call("held").trim());
    }

    /** The keys of the objects in the bucket that begin with `prefix`. */
    Set<String> objects(String prefix) {
        Set<String> names = new TreeSet<>();
        call("objects?" + prefix).lines().filter(name -> !name.isEmpty()).forEach(names::add);
        return names;
    }

    private String call(String command) {
        String[] parts = command.split("\\?", 2);
        String query = parts.length == 1 ? "" : "?" + URLEncoder.encode(parts[1], StandardCharsets.UTF_8);
        URI address = URI.create(endpoint + "/-gate/" + parts[0] + query);
        try {
            HttpRequest request = HttpRequest.newBuilder(address).build();
            HttpResponse<String> response = client.send(request, HttpResponse.BodyHandlers.ofString());
            if (response.statusCode() != 200) {
                throw new AssertionError(address + ": " + response.statusCode() + " " + response.body());
            }
            return response.body();
        } catch (java.io.IOException | InterruptedException error) {
            throw new AssertionError(error);
        }
    }
}
