package lakeferry;

import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.time.ZoneOffset;
import java.time.ZonedDateTime;
import java.time.format.DateTimeFormatter;
import java.util.Base64;
import java.util.Map;
import java.util.TreeMap;
import javax.crypto.Mac;
import javax.crypto.spec.SecretKeySpec;

/** What the protocol has no words for: the JSON API, signed as the protocol's requests are. */
final class Api {
    private final String endpoint;
    private final String instance;

    Api(String endpoint, String instance) {
        this.endpoint = endpoint;
        this.instance = instance;
    }

    /** Enters a bucket of the store into the server's bucket table. */
    void addBucket(String name, Store store) throws Exception {
        String body = "{\"name\": \"%s\", \"url\": \"s3://%s\", \"endpoint\": \"%s\", \"region\": \"us-east-1\","
                + " \"access_key_id\": \"gate\", \"access_key_secret\": \"gate-secret\"}";
        call("buckets", String.format(body, name, name, store.endpoint()));
    }

    /** Has a task deliver what it gathered, without waiting for size or age. */
    void deliverNow(String table, String task) throws Exception {
        call("instances/" + instance + "/tables/" + table + "/tasks/" + task + "/deliver-now", "");
    }

    private void call(String path, String body) throws Exception {
        byte[] content = body.getBytes(StandardCharsets.UTF_8);
        byte[] digest = MessageDigest.getInstance("MD5").digest(content);
        DateTimeFormatter format = DateTimeFormatter.ofPattern("yyyy-MM-dd'T'HH:mm:ss.SSS'Z'");
        Map<String, String> headers = new TreeMap<>(Map.of(
                "x-ots-date", ZonedDateTime.now(ZoneOffset.UTC).format(format),
                "x-ots-apiversion", "2015-12-31",
                "x-ots-accesskeyid", "dev",
                "x-ots-instancename", instance,
                "x-ots-contentmd5", Base64.getEncoder().encodeToString(digest)));
        StringBuilder signed = new StringBuilder("/api/v1/" + path + "\nPOST\n\n");
        headers.forEach((name, value) -> signed.append(name).append(':').append(value).append('\n'));
        Mac mac = Mac.getInstance("HmacSHA1");
        mac.init(new SecretKeySpec("dev".getBytes(StandardCharsets.UTF_8), "HmacSHA1"));
        byte[] signature = mac.doFinal(signed.toString().getBytes(StandardCharsets.UTF_8));
        headers.put("x-ots-signature", Base64.getEncoder().encodeToString(signature));

        HttpRequest.Builder request = HttpRequest.newBuilder(URI.create(endpoint + "/api/v1/" + path));
        headers.forEach(request::header);
        request.POST(HttpRequest.BodyPublishers.ofByteArray(content));
        HttpResponse<String> response =
                HttpClient.newHttpClient().send(request.build(), HttpResponse.BodyHandlers.ofString());
        if (response.statusCode() >= 300) {
            throw new AssertionError(path + ": " + response.statusCode() + " " + response.body());
        }
    }
}
